from typer.testing import CliRunner

from ganvas.cli.main import app
from ganvas.inversion.encoder import find_encoder
from ganvas.weights.checkpoint import save
from tests.inversion.generators import tiny


def test_an_encoder_is_learnt_kept_and_listed(monkeypatch, tmp_path):
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path / "home"))
    G = tiny("mlp")
    model = save(G, tmp_path / "own")
    result = CliRunner().invoke(app, ["encoder", "learn", str(model), "--samples", "40"])
    assert result.exit_code == 0, result.output
    assert "samples 40" in result.stdout
    encoder = find_encoder(G)
    assert encoder is not None
    listed = CliRunner().invoke(app, ["encoder", "list"])
    assert encoder.fingerprint[:12] in listed.stdout
    assert "faces-encoder.safetensors" in listed.stdout
    to_file = CliRunner().invoke(app, ["encoder", "learn", str(model), "--samples", "24", "-o", str(tmp_path / "e")])
    assert to_file.exit_code == 0 and (tmp_path / "e").is_file()
