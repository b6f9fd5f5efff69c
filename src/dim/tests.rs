use super::*;
use proptest::prelude::*;

fn any_dim() -> impl Strategy<Value = Dim> {
    let leaf = prop_oneof![
        (-5i64..50).prop_map(Dim::fixed),
        prop_oneof![Just("batch"), Just("h"), Just("odd name \"\n"), Just("max")].prop_map(Dim::symbol)
    ];
    leaf.prop_recursive(3, 12, 2, |inner| {
        (inner.clone(), inner, 0..6).prop_map(|(a, b, which)| {
            let made = match which {
                0 => a.add(&b),
                1 => a.sub(&b),
                2 => a.mul(&b),
                3 => a.floor_div(&Dim::fixed(3)),
                4 => a.larger(&b),
                _ => a.smaller(&b),
            };
            made.unwrap_or(a)
        })
    })
}

fn sizes(batch: u64, h: u64) -> Bindings {
    [("batch", batch), ("h", h), ("odd name \"\n", 7), ("max", 3)].map(|(k, v)| (k.to_string(), v)).into()
}

proptest! {
    #[test]
    fn text_and_json_read_back(d in any_dim()) {
        prop_assert_eq!(&d.to_string().parse::<Dim>().unwrap(), &d);
        prop_assert_eq!(serde_json::from_str::<Dim>(&serde_json::to_string(&d).unwrap()).unwrap(), d);
    }

    #[test]
    fn arithmetic_commutes_with_evaluation(a in any_dim(), b in any_dim(), batch in 0u64..9, h in 0u64..9) {
        let s = sizes(batch, h);
        let (x, y) = (a.eval_signed(&s).unwrap(), b.eval_signed(&s).unwrap());
        prop_assert_eq!(a.add(&b).unwrap().eval_signed(&s).unwrap(), x + y);
        prop_assert_eq!(a.mul(&b).unwrap().eval_signed(&s).unwrap(), x * y);
        prop_assert_eq!(a.larger(&b).unwrap().eval_signed(&s).unwrap(), x.max(y));
        prop_assert_eq!(a.floor_div(&Dim::fixed(4)).unwrap().eval_signed(&s).unwrap(), x.div_euclid(4));
        prop_assert_eq!(a.bind(&s).unwrap().known(), Some(x));
        let halves = a.floor_div(&Dim::fixed(3)).unwrap().add(&b).unwrap().floor_div(&Dim::fixed(2)).unwrap();
        prop_assert_eq!(halves.eval_signed(&s).unwrap(), (x.div_euclid(3) + y).div_euclid(2));
        let product = a.mul(&b).unwrap();
        if let (Some(q), true) = (product.div_exact(&b), y != 0) {
            prop_assert_eq!(q.eval_signed(&s).unwrap() * y, x * y);
        }
        prop_assert!(a.lower_bound(&|name| s[name] as i64).is_none_or(|least| least <= x));
        prop_assert!(a.lower_bound(&|_| 0).is_none_or(|least| least <= x));
        if let (Some(q), true) = (a.div_exact(&b), y != 0) {
            prop_assert_eq!(q.eval_signed(&s).unwrap() * y, x);
        }
    }

    #[test]
    fn a_formula_never_panics(text in "[-+*/(), a-z0-9\"\\\\]{0,40}") {
        let _ = text.parse::<Dim>();
    }
}

#[test]
fn canonical_forms_compare_equal() {
    let (b, h) = (Dim::symbol("batch"), Dim::symbol("h"));
    assert_eq!(b.mul(&h).unwrap(), h.mul(&b).unwrap());
    assert_eq!(b.add(&h).unwrap().sub(&b).unwrap(), h);
    assert_eq!(b.mul(&Dim::fixed(6)).unwrap().div_exact(&Dim::fixed(2)).unwrap().to_string(), "3*batch");
    assert_eq!(b.mul(&Dim::fixed(24)).unwrap().known_divisor(), 24);
    assert_eq!(Dim::fixed(7).ceil_div(&Dim::fixed(2)).unwrap(), Dim::fixed(4));
}

#[test]
fn sizes_behind_strided_convolutions_stay_short() {
    let half = |d: &Dim| d.sub(&Dim::ONE).unwrap().floor_div(&Dim::fixed(2)).unwrap().add(&Dim::ONE).unwrap();
    let h = Dim::symbol("h");
    let deep = half(&half(&half(&h)));
    assert_eq!(deep.to_string(), "floor((h + 7)/(8))");
    let again = deep.mul(&Dim::fixed(4)).unwrap().add(&Dim::fixed(3)).unwrap().floor_div(&Dim::fixed(2)).unwrap();
    assert_eq!(again.to_string(), "2*floor((h + 7)/(8)) + 1");
    let area = again.mul(&half(&Dim::symbol("w"))).unwrap();
    let three = area.mul(&Dim::fixed(3)).unwrap();
    assert_eq!(three.div_exact(&area), Some(Dim::fixed(3)));
    assert_eq!(area.mul(&h).unwrap().div_exact(&area), Some(h));
}

#[test]
fn what_cannot_be_said_is_an_error() {
    let huge = Dim::fixed(i64::MAX);
    assert!(matches!(huge.add(&Dim::ONE), Err(DimError::Overflow(_))));
    assert!(matches!(Dim::symbol("n").eval(&Bindings::new()), Err(DimError::Unbound { .. })));
    assert!(matches!("(".repeat(100_000).parse::<Dim>(), Err(DimError::Parse { .. })));
    assert_eq!(
        Dim::symbol("n").sub(&Dim::fixed(5)).unwrap().eval(&[("n".into(), 2)].into()).unwrap_err().to_string(),
        "the dimension n - 5 is -3 for the given sizes, and a size can't be negative"
    );
}

#[test]
fn sizes_of_convolutions_are_seen_not_to_be_negative() {
    let h = Dim::symbol("h");
    let out = h.sub(&Dim::ONE).unwrap().floor_div(&Dim::fixed(2)).unwrap().add(&Dim::ONE).unwrap();
    assert_eq!([0, 1].map(|least| out.lower_bound(&|_| least)), [Some(0), Some(1)]);
    assert_eq!(h.sub(&Dim::ONE).unwrap().lower_bound(&|_| 0), Some(-1));
    assert_eq!(Dim::ONE.sub(&h).unwrap().lower_bound(&|_| 0), None);
}

#[test]
fn the_size_of_a_formula_is_counted_without_walking_all_of_it() {
    let mut d = Dim::symbol("n");
    assert!(d.is_within(1) && !d.is_within(0));
    for _ in 0..12 {
        let numerator = d.add(&Dim::ONE).unwrap();
        d = numerator.floor_div(&Dim::fixed(3)).unwrap().larger(&numerator.floor_div(&Dim::fixed(2)).unwrap()).unwrap();
    }
    assert!(!d.is_within(1000) && d.is_within(100_000));
}
