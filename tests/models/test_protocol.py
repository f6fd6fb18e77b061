"""What is known of a generator beside its numbers."""

import ganvas
from ganvas.models.protocol import paints_faces


def test_faces_are_known_by_the_family_or_by_what_the_file_says():
    net = ganvas.build("mlp", img_resolution=8)
    assert not paints_faces(net.family, net.facts)
    net.facts["source"] = "StyleGAN2 trained on FFHQ"
    assert paints_faces(net.family, net.facts)
    assert paints_faces("mobilestylegan", {})
