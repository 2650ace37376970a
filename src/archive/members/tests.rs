use super::*;
use crate::archive::TarWriter;

fn member(kind: EntryType, path: &str, content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    header.set_path(path).unwrap();
    header.set_cksum();
    let padding = vec![0; content.len().next_multiple_of(512) - content.len()];
    [header.as_bytes().as_slice(), content, &padding].concat()
}

fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in records {
        let rest = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
        let length = (1..).find(|length| length.to_string().len() + rest.len() == *length).unwrap();
        bytes.extend([length.to_string().into_bytes(), rest].concat());
    }
    bytes
}

/// Path, link and content.
type Found = (String, Option<String>, Vec<u8>);

fn read(bytes: &[u8]) -> Result<Vec<Found>, ArchiveError> {
    let (mut members, mut found) = (Members::new(bytes), Vec::new());
    while let Some(member) = members.next()? {
        let mut content = Vec::new();
        members.read_to_end(&mut content)?;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        found.push((text(member.path), member.link.map(text), content));
    }
    Ok(found)
}

#[test]
fn extensions_name_the_file_behind_them_and_no_other() {
    let long = "d/".repeat(300);
    let end = vec![0; 1024];
    let attributes: &[(&str, &[u8])] =
        &[("SCHILY.xattr.user.x", b"a\nb=c"), ("path", b"by pax"), ("size", b"3")];
    let tar = [
        member(EntryType::GNULongName, "././@LongLink", format!("{long}\0").as_bytes()),
        member(EntryType::GNULongLink, "././@LongLink", b"target\0"),
        member(EntryType::Symlink, "short", b""),
        member(EntryType::XGlobalHeader, "global", &pax(&[("path", b"of all")])),
        member(EntryType::XHeader, "pax", &pax(attributes)),
        // The size that counts is said before: the header has room for eight gigabytes only.
        member(EntryType::Regular, "short", b"one"),
        member(EntryType::Regular, "plain", b"two"),
        end,
    ]
    .concat();
    let found = read(&tar).unwrap();
    assert_eq!(found[0], (long, Some("target".into()), Vec::new()));
    assert_eq!(found[1], ("by pax".into(), None, b"one".to_vec()));
    assert_eq!(found[2], ("plain".into(), None, b"two".to_vec()));
}

#[test]
fn a_size_that_only_an_extension_says_counts() {
    let mut file = member(EntryType::Regular, "large", b"0123456789");
    let mut header = Header::new_gnu();
    header.set_path("large").unwrap();
    header.set_size(0);
    header.set_cksum();
    file[..512].copy_from_slice(header.as_bytes());
    let tar = [member(EntryType::XHeader, "x", &pax(&[("size", b"10")])), file, vec![0; 1024]].concat();
    assert_eq!(read(&tar).unwrap(), [("large".into(), None, b"0123456789".to_vec())]);
}

#[test]
fn what_a_plain_writer_writes_is_read_and_what_is_cut_or_altered_is_not() {
    let mut writer = TarWriter::new(Vec::new());
    writer.file("a", 5, 0o644, b"hello".as_slice()).unwrap();
    let tar = writer.finish().unwrap();
    assert_eq!(read(&tar).unwrap(), [("a".into(), None, b"hello".to_vec())]);
    assert_eq!(read(&tar[..1024]).unwrap().len(), 1, "some writers leave out the end");
    for cut in [1, 511, 512, 514, 1023] {
        assert!(read(&tar[..cut]).is_err() || read(&tar[..cut]).unwrap()[0].2 != b"hello", "{cut}");
    }
    let mut altered = tar.clone();
    altered[0] ^= 1;
    assert!(read(&altered).is_err());
}

#[test]
fn what_cannot_be_is_refused() {
    let file = || member(EntryType::Regular, "a", b"a");
    let size = |size: &[u8]| [member(EntryType::XHeader, "x", &pax(&[("size", size)])), file()].concat();
    let twice =
        |kind, content: &[u8]| [member(kind, "x", content), member(kind, "x", content), file()].concat();
    for (what, tar) in [
        ("no number", size(b"many")),
        ("larger than any file", size(u64::MAX.to_string().as_bytes())),
        ("has no records", [member(EntryType::XHeader, "x", b"9999 path=a\n"), file()].concat()),
        ("has no records", [member(EntryType::XHeader, "x", b"12 path a b\n"), file()].concat()),
        ("two long names", twice(EntryType::GNULongName, b"n\0")),
        ("two extensions", twice(EntryType::XHeader, &pax(&[("path", b"a")]))),
        ("unexpected end", member(EntryType::GNULongName, "x", b"n\0")),
        ("is a sparse file", member(EntryType::GNUSparse, "a", b"a")),
    ] {
        let error = crate::error_chain::error_chain(&read(&tar).unwrap_err());
        assert!(error.contains(what), "{error}, not {what}");
    }
}

#[test]
fn extensions_are_not_read_beyond_their_bound() {
    for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader, EntryType::XGlobalHeader]
    {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_path("x").unwrap();
        header.set_size(1 << 40);
        header.set_cksum();
        // A source that never ends: whoever reads on would take all memory.
        let source = header.as_bytes().as_slice().chain(io::repeat(b'n').take(1 << 30));
        let error = Members::new(source).next().unwrap_err();
        let most = LARGEST_EXTENSION;
        assert!(matches!(error, ArchiveError::LargeExtension { most: said, .. } if said == most), "{error}");
    }
}
