"""What a text file leaves open is detected and said; nothing is changed silently."""

import doctest
import gzip
import zipfile
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from sdv_wgangp.files import Format, read_table, reading, writing
from sdv_wgangp.user_errors import UserError


@pytest.fixture
def read(tmp_path):
    """Write text to a file, read it as a table; what was said is in ``read.said``."""

    def read(content, name="t.csv", encoding="utf-8", form=None, **options):
        (tmp_path / name).write_bytes(content.encode(encoding))
        read.said = []
        return read_table(tmp_path / name, form, say=read.said.append, **options)

    return read


@pytest.mark.parametrize("module", [reading, writing])
def test_examples_run(module):
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed


# --------------------------------------------------------------------------- formats


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt"])
def test_separators_are_detected(read, separator, suffix):
    rows = [["name", "x", "note"], ["ann", "1.5", '"a,b;c\t|"'], ["bob", "2", "plain"]]
    frame = read("\n".join(separator.join(row) for row in rows), "t" + suffix)
    assert frame.to_dict("list") == {
        "name": ["ann", "bob"],
        "x": [1.5, 2.0],
        "note": ["a,b;c\t|", "plain"],
    }
    assert (separator == ",") == (not read.said)


def test_decimal_commas_are_detected_and_said(read):
    frame = read("x;y;z\n1,5;2;a\n-,25;;b\n")
    assert frame["x"].tolist() == [1.5, -0.25]
    assert read.said == ["t.csv: columns are separated by semicolon, decimals by comma"]
    assert read("x;y\n1.5;a,b\n").to_dict("list") == {"x": [1.5], "y": ["a,b"]}


def test_what_may_be_thousands_stays_text_unless_told(read):
    assert read("x;y\n1,234;a\n2,500;b\n")["x"].tolist() == ["1,234", "2,500"]
    told = read("x;y\n1,234;a\n2,500;b\n", form=Format(decimal=","))
    assert told["x"].tolist() == [1.234, 2.5]


def test_the_line_of_excel_names_the_separator(read):
    assert read("sep=;\na;b\n1;2\n").to_dict("list") == {"a": [1], "b": [2]}
    assert read("SEP=|\r\na|b\r\n1|2\r\n").to_dict("list") == {"a": [1], "b": [2]}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_that_say_what_they_are(read, encoding):
    assert read("grüße,x\nß,1\n", encoding=encoding).to_dict("list") == {"grüße": ["ß"], "x": [1]}


def test_other_encodings_are_told(read):
    with pytest.raises(UserError, match=r"t\.csv: .* not utf-8.* --encoding, often cp1252"):
        read("grüße,x\nß,1\n", encoding="cp1252")
    frame = read("grüße,x\nß,1\n", encoding="cp1252", form=Format(encoding="cp1252"))
    assert frame.to_dict("list") == {"grüße": ["ß"], "x": [1]}
    with pytest.raises(UserError, match="--encoding"):
        read("a,b\n1,2\n", form=Format(encoding="no-such"))
    late = "a,b\n" + "1,x\n" * 100_000 + "1,ß\n"
    with pytest.raises(UserError, match="--encoding"):
        read(late, encoding="cp1252")


def test_packed_files(tmp_path):
    with gzip.open(tmp_path / "t.csv.gz", "wt") as file:
        file.write("a;b\n1;2\n")
    with zipfile.ZipFile(tmp_path / "t.csv.zip", "w") as archive:
        archive.writestr("inside.csv", "a;b\n1;2\n")
    for name in ("t.csv.gz", "t.csv.zip"):
        assert read_table(tmp_path / name).to_dict("list") == {"a": [1], "b": [2]}
    (tmp_path / "no.csv.gz").write_bytes(b"a,b\n1,2\n")
    with pytest.raises(UserError, match=r"no\.csv\.gz: cannot be read"):
        read_table(tmp_path / "no.csv.gz")


def test_files_without_a_header_are_told(read):
    with pytest.raises(UserError, match="--no-header"):
        read("1,2\n3,4\n")
    frame = read("1,2\n3,4\n", form=Format(header=False))
    assert frame.to_dict("list") == {"column 1": [1, 3], "column 2": [2, 4]}
    assert read("1,2\n3,4\n", form=Format(header=True)).to_dict("list") == {"1": [3], "2": [4]}


@pytest.mark.parametrize("before", ["\n\n", "\r\n", "  \n", "sep=,\n\n", "\nsep=,\n"])
def test_blank_lines_before_the_header(read, before):
    assert read(before + "a,b\n1,2\n3,4\n").to_dict("list") == {"a": [1, 3], "b": [2, 4]}
    with pytest.raises(UserError, match=f"line {before.count(chr(10)) + 3} has 3 values"):
        read(before + "a,b\n1,2\n3,4,5\n")


def test_names_keep_their_characters(read):
    assert list(read('"a\nx",b\u2028z\n1,2\n')) == ["a\nx", "b\u2028z"]
    told = read("a,b\n1,2\n", encoding="utf-8-sig", form=Format(encoding="utf-8"))
    assert list(told) == ["a", "b"]


def test_a_tsv_has_tabs_and_the_consistent_separator_wins(read):
    assert list(read("a,x\tb\n1,5\t2\n2,5\t3\n", "t.tsv")) == ["a,x", "b"]
    assert read("text\na, b\nc\n", "t.tsv")["text"].tolist() == ["a, b", "c"]
    assert list(read("a,x;b\n1,5;2\n2;3\n")) == ["a,x", "b"]


def test_points_beside_decimal_commas_are_no_decimals(read):
    frame = read("price;people;day\n1,5;1.101;01.02.2020\n2,5;31.131;02.02.2020\n")
    assert frame["people"].tolist() == ["1.101", "31.131"]
    assert read.said[1:] == ["t.csv: 'people' has points where decimals have commas, and is text"]


# --------------------------------------------------------------------------- lines


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2,\n3,4,\n", "line 2 has 3 values, and the header names 2, separated by comma"),
        ("a,b\n1,2\n1,5,2\n", "line 3 has 3 values"),
        ("a,b,c\n1,2,3\n1,2\n", "line 3 has 2 values, and the header names 3"),
        ('a,b\n"x\ny",2\n1,2,3\n', "line 4 has 3 values"),
        ("a,b\n", "the table has no rows"),
        ("", "the table has no rows"),
        ("\n\n", "the table has no rows"),
        ("a,b,a\n1,2,3\n", "two columns are called 'a'; rename one"),
    ],
)
def test_lines_that_do_not_fit_are_named(read, text, message):
    with pytest.raises(UserError, match=message):
        read(text)


def test_separators_at_the_end_of_all_lines(read):
    assert read("a;b;\n1;2;\n3;4;\n").to_dict("list") == {"a": [1, 3], "b": [2, 4]}
    assert list(read(",a\nx,1\ny,2\n")) == ["Unnamed: 0", "a"]


# --------------------------------------------------------------------------- values


def test_leading_zeros_are_text(read):
    frame = read("zip,x\n01001,1\n94043,2\n")
    assert frame["zip"].tolist() == ["01001", "94043"]
    assert read.said == ["t.csv: 'zip' has leading zeros and is text"]
    assert read("zip\n01001\n", form=Format(dtype={"zip": "number"}))["zip"].tolist() == [1001]
    assert read("x\n0\n10\n")["x"].tolist() == [0, 10]


def test_metadata_decide_what_is_text(read):
    frame = read("id,x\n1,1\n2,2\n", text=["id"])
    assert frame["id"].tolist() == ["1", "2"]


def test_integers_with_blanks_stay_exact(read):
    least = 2**62
    frame = read("k,x\n" + "".join(f"{least + i},\n,{i}\n" for i in range(64)))
    assert frame["k"].dtype == "Int64"
    assert frame["k"].dropna().tolist() == [least + i for i in range(64)]
    assert frame["x"].isna().sum() == 64


def test_longer_numbers_are_text(read):
    frame = read("k\n12345678901234567890\n1\n")
    assert frame["k"].tolist() == ["12345678901234567890", "1"]
    assert "more digits" in read.said[0]


def test_only_empty_cells_are_missing_in_text(read):
    frame = read("country,x\nNA,1\nDE,\n,3\n")
    assert frame["country"].tolist()[:2] == ["NA", "DE"]
    assert frame["country"].isna().tolist() == [False, False, True]
    told = read("country,x\nNA,1\nDE,2\n", form=Format(na=("NA",)))
    assert told["country"].isna().tolist() == [True, False]


@pytest.mark.parametrize("mark", ["NA", "?", "null", "-"])
def test_a_mark_among_numbers_is_missing_and_said(read, mark):
    frame = read(f"x,y\n1,a\n{mark},b\n3,{mark}\n")
    assert frame["x"].tolist()[::2] == [1, 3]
    assert frame["x"].isna().tolist() == [False, True, False]
    assert frame["y"].tolist() == ["a", "b", mark]
    assert read.said == [f"t.csv: 'x' has numbers, and '{mark}' 1 times: missing"]


def test_truth_values_and_empty_columns(read):
    frame = read("t,u,e\nTrue,true,\nFALSE,,\n")
    assert frame["t"].tolist() == [True, False]
    assert frame["t"].dtype == bool
    assert frame["u"].tolist()[0] is True
    assert frame["u"].isna().tolist() == [False, True]
    assert frame["e"].isna().all()


def test_blanks_and_marks_among_truth_values(read):
    frame = read("x,t\n ,True\n5,NA\n1,false\n")
    assert frame["x"].isna().tolist() == [True, False, False]
    assert frame["t"].tolist()[::2] == [True, False]
    assert frame["t"].isna().tolist() == [False, True, False]
    assert len(read.said) == 2


def test_numbers_that_no_float_holds_are_text(read):
    assert read("x\n1e400\n1\n")["x"].tolist() == ["1e400", "1"]
    long = read("k\n12345678901234567890\n1\n", form=Format(dtype={"k": "number"}))
    assert long["k"].tolist() == [12345678901234567890.0, 1.0]


def test_a_type_that_does_not_fit_is_named(read):
    with pytest.raises(
        UserError, match=r"column 'x' is to be numbers and has 'n\.a\.'; give --na"
    ):
        read("x\n1\nn.a.\n", form=Format(dtype={"x": "number"}))
    with pytest.raises(UserError, match="no column 'z', for which a type is given"):
        read("x\n1\n", form=Format(dtype={"z": "text"}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"separator": ";;"}, "one character"),
        ({"decimal": ";"}, "decimal mark"),
        ({"separator": ",", "decimal": ","}, "both"),
        ({"dtype": {"x": "date"}}, "text or number"),
    ],
)
def test_formats_that_cannot_be(options, message):
    with pytest.raises(UserError, match=message):
        Format(**options)


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1)


@settings(max_examples=60, deadline=None)
@given(
    frame=st.integers(1, 5).flatmap(
        lambda rows: st.fixed_dictionaries(
            {
                "whole": st.lists(st.integers(-(2**63), 2**63 - 1), min_size=rows, max_size=rows),
                "real": st.lists(
                    st.floats(allow_nan=False, allow_infinity=False),
                    min_size=rows,
                    max_size=rows,
                ),
                "word": st.lists(WORDS.map(lambda word: "w" + word), min_size=rows, max_size=rows),
            }
        )
    )
)
def test_what_is_written_comes_back(frame, tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "t.csv"
    written = pd.DataFrame(frame)
    writing.write_table(written, path)
    found = read_table(path)
    assert found["whole"].tolist() == written["whole"].tolist()
    assert found["word"].tolist() == written["word"].tolist()
    assert np.array_equal(found["real"].astype(float), written["real"])


# --------------------------------------------------------------------------- Parquet


def test_named_indexes_are_columns(tmp_path):
    path = tmp_path / "t.parquet"
    frame = pd.DataFrame({"x": [1, 2]}, index=pd.Index(["a", "b"], name="key"))
    frame.to_parquet(path)
    assert read_table(path).to_dict("list") == {"key": ["a", "b"], "x": [1, 2]}
    with pytest.raises(UserError, match="options of text files are not for it"):
        read_table(path, Format(na=("1",)))
    frame.reset_index(drop=True).iloc[::-1].to_parquet(path)
    assert read_table(path).to_dict("list") == {"x": [2, 1]}


def test_integers_of_parquet_with_missing_ones_stay_exact(tmp_path):
    path, large = tmp_path / "t.parquet", [2**60 + 1, None, 2**60 + 2]
    decimals = [None if each is None else Decimal(each) for each in large]
    table = {"x": pa.array(large, pa.int64()), "y": pa.array(decimals, pa.decimal128(25, 0))}
    parquet.write_table(pa.table(table), path)
    frame = read_table(path)
    for name in ("x", "y"):
        assert frame[name].dtype == "Int64"
        assert frame[name].dropna().tolist() == [2**60 + 1, 2**60 + 2]


def test_decimals_of_parquet_are_numbers(tmp_path):
    path, cents = tmp_path / "t.parquet", [Decimal("1.25"), None, Decimal("-3.50")]
    whole = [Decimal(2**60 + 1), Decimal(3), Decimal(4)]
    table = pa.table({"x": cents, "k": pa.array(whole, pa.decimal128(25, 0))})
    parquet.write_table(table, path)
    frame = read_table(path)
    assert frame["x"].tolist()[::2] == [1.25, -3.5]
    assert frame["x"].isna().tolist() == [False, True, False]
    assert frame["k"].tolist() == [2**60 + 1, 3, 4]
    assert [each.kind for each in frame.dtypes] == ["f", "i"]
