"""Real weights are not needed for the geometry: three planted networks that call every bright spot a face."""

import pytest
import torch

from ganvas.errors import NoFace, WeightsError
from ganvas.features.faces import (
    Face,
    FaceFinder,
    _cut,
    _ONet,
    _PNet,
    _quarter_back,
    _RNet,
    _suppress,
    choose_face,
    find_faces,
)

SHARES = torch.tensor([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])


def silent(net):
    for parameter in net.parameters():
        parameter.data.zero_()
    return net


@pytest.fixture(scope="module")
def finder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mtcnn")
    pnet, rnet, onet = silent(_PNet()), silent(_RNet()), silent(_ONet())
    pnet.conv1.weight.data[0] = 1 / 27  # brightness …
    pnet.conv2.weight.data[0, 0] = pnet.conv3.weight.data[0, 0] = 1 / 9  # … handed on
    pnet.conv4_1.weight.data[1, 0] = 20.0
    pnet.conv4_1.bias.data[1] = -10.0  # a face from brightness .5 up
    rnet.dense5_1.bias.data[1] = onet.dense6_1.bias.data[1] = 8.0  # the others agree with everything
    onet.dense6_3.bias.data = SHARES.T.flatten()
    for net, name in ((pnet, "pnet.pt"), (rnet, "rnet.pt"), (onet, "onet.pt")):
        torch.save(net.state_dict(), folder / name)
    return FaceFinder(folder)


def night(height, width, spot):
    img = torch.full((1, 3, height, width), -1.0)
    x0, y0, x1, y1 = spot
    img[:, :, y0:y1, x0:x1] = 1
    return img


@pytest.mark.parametrize(("height", "width"), [(200, 300), (1500, 2600)])
def test_a_bright_spot_is_found_where_it_is(finder, height, width):
    spot = (width // 2, height // 4, width // 2 + height // 3, height // 4 + height // 3)
    faces = finder.find(night(height, width, spot), turn=False)
    assert faces
    for face in faces:
        x0, y0, x1, y1 = face.box
        centre = ((x0 + x1) / 2, (y0 + y1) / 2)
        assert spot[0] < centre[0] < spot[2]
        assert spot[1] < centre[1] < spot[3]
        place = (face.points - torch.tensor([x0, y0])) / torch.tensor([x1 - x0, y1 - y0])
        assert torch.allclose(place, SHARES, atol=0.05)
    assert [face.size_px for face in faces] == sorted((face.size_px for face in faces), reverse=True)


@pytest.mark.parametrize("size", [(1, 1), (5, 400), (64, 64)])
def test_nothing_is_found_where_nothing_is(finder, size):
    assert finder.find(torch.full((1, 3, *size), -1.0)) == []


def test_points_turn_back_with_the_picture():
    height, width = 5, 9
    for turns in (1, 2, 3):
        img = torch.zeros(1, 1, height, width)
        img[0, 0, 1, 6] = 1
        row, column = (torch.rot90(img, turns, dims=(2, 3))[0, 0] > 0).nonzero()[0].tolist()
        back = _quarter_back(torch.tensor([[column + 0.5, row + 0.5]]), turns, width, height)
        assert torch.allclose(back, torch.tensor([[6.5, 1.5]]))


def test_suppression_is_the_greedy_definition():
    rng = torch.Generator().manual_seed(0)
    corner = torch.rand(60, 2, generator=rng) * 50
    boxes = torch.cat([corner, corner + 5 + 20 * torch.rand(60, 2, generator=rng)], dim=1)
    scores = torch.rand(60, generator=rng)

    def overlap(a, b):
        w = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
        h = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
        whole = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h
        return w * h / whole

    kept = []
    for i in scores.argsort(descending=True).tolist():
        if all(overlap(boxes[i].tolist(), boxes[j].tolist()) <= 0.3 for j in kept):
            kept.append(i)
    assert _suppress(boxes, scores, overlap=0.3).tolist() == kept
    assert 1 < len(kept) < 60


def test_a_cut_beyond_the_edge_is_grey_there():
    cut = _cut(torch.ones(1, 3, 10, 10), torch.tensor([[-10.0, 0, 10, 20], [30, 30, 40, 40]]), 4)
    assert torch.equal(cut[0, 0], torch.tensor([[0.0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]]))
    assert torch.equal(cut[1], torch.zeros(3, 4, 4))


def test_a_face_is_chosen_by_size_or_number():
    faces = [Face((0, 0, size, size), SHARES * size, 1.0) for size in (90, 60)]
    assert choose_face(faces) is faces[0]
    assert choose_face(faces, 2) is faces[1]
    with pytest.raises(NoFace, match="2 faces, there is no face 3"):
        choose_face(faces, 3)
    with pytest.raises(NoFace, match="no face was found"):
        choose_face([])


def test_the_faces_of_a_photo_are_numbered():
    class Finder:
        def find(self, img):
            return [Face((0, 0, size, size), SHARES * size, 1.0) for size in (90, 60)]

    faces = find_faces(torch.zeros(1, 3, 100, 100), finder=Finder())
    assert [(face.number, face.size_px) for face in faces] == [(1, 90), (2, 60)]


def test_how_far_a_head_is_turned():
    assert Face((0, 0, 1, 1), SHARES, 1.0).sideways == pytest.approx(0, abs=1e-6)
    profile = SHARES.clone()
    profile[2, 0] = 0.3
    assert Face((0, 0, 1, 1), profile, 1.0).sideways == pytest.approx(1)


def test_another_network_under_that_name_is_refused(tmp_path):
    for name in ("pnet.pt", "rnet.pt", "onet.pt"):
        torch.save(_RNet().state_dict(), tmp_path / name)
    with pytest.raises(WeightsError, match=r"pnet\.pt is not the expected MTCNN network"):
        FaceFinder(tmp_path)
