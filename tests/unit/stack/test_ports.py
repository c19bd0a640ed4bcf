import socket

from sayso.stack.ports import FREE_PORTS, Ports, is_free


def listener() -> socket.socket:
    server = socket.create_server(("127.0.0.1", 0))
    server.listen()
    return server


def test_a_default_port_that_is_free_is_given_out() -> None:
    with listener() as server:
        port = server.getsockname()[1]
    assert Ports("a").take(port) == port


def test_a_default_port_that_is_taken_is_replaced_by_a_free_one() -> None:
    with listener() as server:
        port = server.getsockname()[1]
        ports = Ports("a")
        other = ports.take(port)
    assert other != port
    assert other in FREE_PORTS
    assert ports.moved == {port: other}, "so that a person can be told"


def test_a_port_that_is_taken_on_every_interface_is_not_free() -> None:
    with socket.create_server(("", 0)) as server:
        assert not is_free(server.getsockname()[1])


def test_no_port_is_given_out_twice() -> None:
    ports = Ports("a")
    taken = [ports.take() for _ in range(20)]
    assert len(set(taken)) == 20


def test_two_that_search_at_once_in_the_same_place_do_not_meet() -> None:
    """A port is free until its server listens, and the other stack asks before that."""
    one, other = Ports("same"), Ports("same")
    assert not {one.take() for _ in range(20)} & {other.take() for _ in range(20)}


def test_stacks_with_other_folders_search_elsewhere() -> None:
    assert Ports("/a/.sayso").take() != Ports("/b/.sayso").take()


def test_a_stack_of_tests_leaves_the_defaults_alone() -> None:
    with listener() as server:
        port = server.getsockname()[1]
    assert Ports("a", use_defaults=False).take(port) != port
