"""Generated documents: JSON Schemas, the AsyncAPI description, the tables of events and settings. `make docs` writes them.

In: the catalog, `config/bindings.yaml`, the settings model. Out: text by file name. A test writes them again and compares.
"""
