use super::*;
use proptest::prelude::*;

/// A file as NumPy writes it.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&(header.len() as u16).to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(data);
    bytes
}

fn parse(header: &str, data: &[u8]) -> Result<Tensor, String> {
    read_from(&mut file(header, data).as_slice()).map_err(|e| e.to_string())
}

#[test]
fn every_type_survives_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    for dtype in DType::ALL {
        let values = [1.0, 0.5, 2.0, 4.0, 1.0, 2.0].map(|x| if dtype.is_float() { x } else { f64::floor(x) });
        let values = values.map(|x| if dtype.bits() <= 2 { x.min(1.0) } else { x });
        let tensor = Tensor::from_f64(dtype, &[2, 3], &values).unwrap();
        let path = folder.path().join(format!("{dtype}.npy"));
        write(&path, &tensor).unwrap();
        let found = read(&path).unwrap();
        assert_eq!(found.dtype(), file_type(dtype));
        assert_eq!(convert(&found, dtype).unwrap(), tensor, "{dtype}");
    }
}

#[test]
fn archives_keep_names_and_order_and_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = vec![
        ("b/x".to_string(), Tensor::from_slice(&[2], &[1i64, -2]).unwrap()),
        ("a".to_string(), Tensor::from_slice(&[], &[half::f16::ONE]).unwrap()),
    ];
    let (one, two) = (folder.path().join("1.npz"), folder.path().join("2.npz"));
    write_archive(&one, &tensors).unwrap();
    write_archive(&two, &tensors).unwrap();
    assert_eq!(read_archive(&one).unwrap(), tensors);
    assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap());
    assert!(
        read(&one).unwrap_err().to_string().ends_with("1.npz: it holds 2 tensors; a .npy or a .npz of one is wanted")
    );
}

#[test]
fn fortran_order_and_big_endian_are_turned_around() {
    let data: Vec<u8> = [1i16, 2, 3, 4, 5, 6].iter().flat_map(|x| x.to_be_bytes()).collect();
    let tensor = parse("{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }", &data).unwrap();
    assert_eq!(tensor.to_vec::<i16>().unwrap(), [1, 3, 5, 2, 4, 6]);
    let scalar = parse("{'descr': '|b1', 'fortran_order': False, 'shape': (), }  \n", &[7]).unwrap();
    assert_eq!(scalar.bytes().as_ref(), [1]);
    let empty = parse("{'descr': '<f8', 'fortran_order': True, 'shape': (0, 18446744073709551615L), }", &[]);
    assert_eq!(empty.unwrap().sizes(), [0, usize::MAX]);
}

#[test]
fn what_is_wrong_is_said() {
    let plain = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
    assert_eq!(parse(plain, &[0; 7]).unwrap_err(), "f32 [2] needs 8 bytes of data, and there are 7");
    assert_eq!(parse(plain, &[0; 9]).unwrap_err(), "f32 [2] needs 8 bytes of data, and there are more");
    let complex = parse(&plain.replace("<f4", "<c8"), &[]).unwrap_err();
    assert!(complex.starts_with("its element type \"<c8\" is none of"), "{complex}");
    assert!(parse(&plain.replace("2,", "18446744073709551616"), &[]).unwrap_err().contains("a size is expected"));
    assert!(parse(&plain.replace("2,", "1844674407370955161, 99"), &[]).unwrap_err().contains("is more than the"));
    assert_eq!(parse(&"(".repeat(9000), &[]).unwrap_err(), "the header is damaged at byte 10: '{' is expected");
    assert_eq!(parse("{}", &[]).unwrap_err(), "the header is damaged at byte 12: descr is missing");
    let error = read(Path::new("/nonexistent/x.npy")).unwrap_err().to_string();
    assert!(error.starts_with("/nonexistent/x.npy: "), "{error}");
    assert_eq!(read_from(&mut b"PK\x03\x04".as_slice()).unwrap_err().to_string(), Problem::Magic.to_string());
}

#[test]
fn values_that_do_not_fit_are_not_converted() {
    let tensor = Tensor::from_slice(&[2], &[1.0f32, 300.0]).unwrap();
    assert!(convert(&tensor, DType::I8).is_none());
    assert_eq!(convert(&tensor, DType::I16).unwrap().to_vec::<i16>().unwrap(), [1, 300]);
    assert!(convert(&Tensor::from_slice(&[1], &[0.1f32]).unwrap(), DType::BF16).is_none());
}

proptest! {
    #[test]
    fn no_header_makes_it_panic(header in "[{}'():, a-z<>|=0-9TrueFalsL]{0,80}", data in prop::collection::vec(any::<u8>(), 0..40)) {
        let _ = parse(&header, &data);
    }
}
