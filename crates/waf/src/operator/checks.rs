//! Check digits of card, tax and social security numbers. Which text may be one is a rule's pattern; here is never more
//! than arithmetic.

/// The digits of a text, as numbers.
fn digits(text: &[u8]) -> impl DoubleEndedIterator<Item = u32> {
    text.iter().filter(|byte| byte.is_ascii_digit()).map(|byte| u32::from(byte - b'0'))
}

/// All of them the same.
fn repeated(numbers: &[u32]) -> bool {
    numbers.windows(2).all(|two| matches!(two, [left, right] if left == right))
}

/// `@verifyCC`: the Luhn check of ISO/IEC 7812-1 over the digits of a match.
#[must_use]
pub fn is_card_number(text: &[u8]) -> bool {
    let weighted = |(place, digit): (usize, u32)| match (place % 2, digit * 2) {
        (0, _) => digit,
        (_, twice) if twice > 9 => twice - 9,
        (_, twice) => twice,
    };
    let (count, sum) = digits(text)
        .rev()
        .enumerate()
        .fold((0, 0_u32), |(count, sum), each| (count + 1, (sum + weighted(each)) % 10));
    count > 0 && sum == 0
}

/// `@verifyCPF`: the eleven digits of a Brazilian tax number.
#[must_use]
pub fn is_cpf(text: &[u8]) -> bool {
    let numbers: Vec<u32> = digits(text).take(11).collect();
    if numbers.len() != 11 || repeated(&numbers) {
        return false;
    }
    let check = |count: u32| {
        let sum: u32 = numbers.iter().zip((2..=count + 1).rev()).map(|(digit, weight)| digit * weight).sum();
        match sum % 11 {
            0 | 1 => 0,
            rest => 11 - rest,
        }
    };
    numbers.get(9) == Some(&check(9)) && numbers.get(10) == Some(&check(10))
}

/// `@verifySSN`: the nine digits of a social security number of the United States.
#[must_use]
pub fn is_ssn(text: &[u8]) -> bool {
    let numbers: Vec<u32> = digits(text).take(10).collect();
    if numbers.len() != 9 || repeated(&numbers) {
        return false;
    }
    if numbers.windows(2).all(|two| matches!(two, [left, right] if left + 1 == *right)) {
        return false;
    }
    let part = |from: usize, count: usize| {
        numbers.iter().skip(from).take(count).fold(0, |value, digit| value * 10 + digit)
    };
    let (area, group, serial) = (part(0, 3), part(3, 2), part(5, 4));
    area != 0 && group != 0 && serial != 0 && area < 740 && area != 666
}

/// `@verifySVNR`: the ten digits of an Austrian social security number.
#[must_use]
pub fn is_svnr(text: &[u8]) -> bool {
    const WEIGHTS: [u32; 10] = [3, 7, 9, 0, 5, 8, 4, 2, 1, 6];
    let numbers: Vec<u32> = digits(text).take(10).collect();
    if numbers.len() != 10 || repeated(&numbers) {
        return false;
    }
    let sum: u32 = numbers.iter().zip(WEIGHTS).map(|(digit, weight)| digit * weight).sum();
    let check = if sum % 11 == 10 { 0 } else { sum % 11 };
    numbers.get(3) == Some(&check)
}

/// `@validateNid` for `cl` (a Chilean RUT, modulo 11) and `us` (a social security number); no other country is known.
#[must_use]
pub fn is_national_id(country: &str, text: &[u8]) -> bool {
    match country {
        "cl" => is_rut(text),
        "us" => is_ssn(text),
        _ => false,
    }
}

fn is_rut(text: &[u8]) -> bool {
    let Some(check) = text.iter().rfind(|byte| byte.is_ascii_digit() || matches!(byte, b'k' | b'K')) else {
        return false;
    };
    let body: Vec<u32> = digits(text).collect();
    let given = if check.is_ascii_digit() { body.len().saturating_sub(1) } else { body.len() };
    if given < 7 {
        return false;
    }
    let sum: u32 = body
        .iter()
        .take(given)
        .rev()
        .zip([2, 3, 4, 5, 6, 7].iter().cycle())
        .fold(0, |sum, (digit, weight)| (sum + digit * weight) % 11);
    let expect = match (11 - sum) % 11 {
        10 => b'K',
        digit => b'0' + u8::try_from(digit).unwrap_or(0),
    };
    check.to_ascii_uppercase() == expect
}
