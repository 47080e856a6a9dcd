"""The command's arguments, file names and exit codes; what it does against a server is in the integration tests."""

import pytest
from vitrina_client import (
    Cancelled,
    ConnectionFailed,
    DeadlineExceeded,
    ModelNotFound,
    QueueFull,
    ServerError,
    TooLarge,
    _command,
)
from vitrina_client._arguments import EXIT_CODES


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Enamel mug, 350 ml", "enamel-mug-350-ml"),
        ("搪瓷杯 350毫升", "搪瓷杯-350毫升"),
        ("../../etc/passwd", "etc-passwd"),
        ("___", "product"),
        ("", "product"),
        ("x" * 200, "x" * 60),
    ],
)
def test_a_title_becomes_a_file_name(title, name):
    assert _command.slug(title) == name


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ServerError("x"), 1),
        (Cancelled("x"), 1),
        (TooLarge("x"), 2),
        (ValueError("x"), 2),
        (OSError("x"), 2),
        (ConnectionFailed("x"), 3),
        (ModelNotFound("x"), 3),
        (DeadlineExceeded("x"), 4),
        (QueueFull("x"), 5),
    ],
)
def test_exit_codes(error, code):
    assert _command.exit_code(error) == code
    assert f"\n  {code} " in EXIT_CODES


def test_help_lists_the_exit_codes(capsys):
    with pytest.raises(SystemExit) as caught:
        _command.main(["--help"])
    assert caught.value.code == 0
    assert EXIT_CODES in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["generate", "--title", "Mug"], "--out"),
        (["generate", "--title", "Mug", "--out", "o", "--attribute", "red"], "expected name=value"),
        (["status", "--timeout", "0"], "expected seconds above 0"),
        (["status", "--timeout", "soon"], "expected seconds above 0"),
        (["speak", "--text", "A mug", "--out", "mug.mp3"], "expected a name in .wav, .ogg"),
        (["studio", "--image", "a.jpg", "--out", "a.gif"], "expected a name in .jpg, .jpeg, .png, .webp"),
        (["studio", "--image", "a.jpg", "--out", "a.png", "--aspect", "2:3"], "invalid choice: '2:3'"),
        (["post", "--image", "a.jpg", "--text", "x", "--out", "a.mov"], "expected a name in .mp4"),
        ([], "COMMAND"),
    ],
)
def test_wrong_usage_is_told_and_is_exit_code_2(arguments, says, capsys):
    with pytest.raises(SystemExit) as caught:
        _command.main(arguments)
    assert caught.value.code == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["embed", "--url", "localhost:1"], 2, "give --title, --image or both"),
        (["status", "--url", "ftp://x"], 2, "expected grpc://host:port"),
        (["embed", "--title", "x", "--url", "grpc://127.0.0.1:1"], 3, "content: cannot connect to 127.0.0.1:1"),
        (["embed", "--title", "x", "--url", "http://127.0.0.1:1"], 3, "content: cannot connect to 127.0.0.1:1"),
        (["speak", "--text", "x", "--out", "x.wav", "--url", "localhost:1"], 3, "speak: cannot connect to localhost:1"),
        (["studio", "--image", "no.jpg", "--out", "x.png", "--url", "localhost:1"], 2, "IMAGE: cannot read 'no.jpg'"),
        (["read", "--image", "no.jpg", "--url", "localhost:1"], 2, "IMAGE: cannot read 'no.jpg'"),
        (["embed", "--image", "no.jpg", "--url", "localhost:1"], 2, "IMAGE: cannot read 'no.jpg': No such file"),
    ],
)
def test_an_error_is_one_line(arguments, code, says, capsys):
    assert _command.main(arguments) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("vitrina: ")
    assert captured.err.count("\n") == 1
    assert says in captured.err


def test_the_url_comes_from_the_environment(monkeypatch, capsys):
    monkeypatch.setenv("VITRINA_URL", "grpc://127.0.0.1:2")
    assert _command.main(["status"]) == 3
    assert "127.0.0.1:2" in capsys.readouterr().err
