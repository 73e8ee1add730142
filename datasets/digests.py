"""Write the digests of a published set's images, by which the program recognises them: readers/digests/<set>.txt.

python datasets/digests.py dsb stage1_train.zip
python datasets/digests.py ctc DIC-C2DH-HeLa PhC-C2DH-U373
python datasets/digests.py isbi isbi2012
python datasets/digests.py bbbc005 BBBC005
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import bbbc005
import isbi
from data import pixel_digest
from readers import ctc
from readers.published import FOLDER
from recipe import read_recipe
from system.files import write_text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=("dsb", "ctc", "isbi", "bbbc005"), help="the set")
    parser.add_argument("sources", nargs="+", type=Path, help="folders or zip files of the published images")
    options = parser.parse_args()
    digests = {pixel_digest(sample.image) for source in options.sources for sample in samples(options.name, source)}
    write_text(FOLDER / f"{options.name}.txt", "\n".join(sorted(digests)) + "\n")
    print(f"{len(digests)} digests in {FOLDER / options.name}.txt")


def samples(name, source):
    """All images of a set, with and without labels."""
    if name == "ctc":
        return ctc.load(source)
    if name == "bbbc005":
        return bbbc005.load_unlabelled(source)
    found = read_recipe(name).load(source, read_recipe(name).config)
    return [*found, *isbi.load_unlabelled(source)] if name == "isbi" else found


if __name__ == "__main__":
    main()
