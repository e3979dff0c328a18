package address

import (
	"strings"
	"unicode"
)

// toASCII turns a domain into A-labels for a look-up (RFC 5891 §5): the dots and
// wide letters of East Asian input methods are mapped, capitals lowered, and each
// label that is not ASCII goes through Punycode. Normalisation needs large tables
// that the sendmail command should not carry; what may need it is refused instead.
// ASCII domains and literals come back as they are.
func toASCII(domain string) (string, error) {
	if isASCII(domain) {
		return domain, nil
	}
	mapped := strings.Map(mapRune, domain)
	labels := strings.Split(mapped, ".")
	for i, label := range labels {
		a, err := labelToASCII(label)
		if err != nil {
			return "", err
		}
		labels[i] = a
	}
	out := strings.TrimSuffix(strings.Join(labels, "."), ".")
	if len(out) > maxDomain {
		return "", errLength
	}
	return out, nil
}

// mapRune is the part of the mapping of RFC 5895 §2 that input methods make
// necessary.
func mapRune(r rune) rune {
	switch {
	case r == '\u3002', r == '\uff0e', r == '\uff61':
		return '.'
	case r > '\uff00' && r < '\uff5f':
		return unicode.ToLower(r - 0xfee0)
	}
	return unicode.ToLower(r)
}

func labelToASCII(label string) (string, error) {
	if !validLabel(label) {
		return "", ErrDomain
	}
	if len(label) > 4*maxLabel { // bounds the work, too
		return "", errLength
	}
	if !isASCII(label) {
		if err := checkRunes(label); err != nil {
			return "", err
		}
		label = "xn--" + punycode([]rune(label))
	}
	if len(label) > maxLabel {
		return "", errLength
	}
	return label, nil
}

// checkRunes refuses characters that no label may have (RFC 5892) and those that
// normalisation would join with their neighbours.
func checkRunes(label string) error {
	for i, r := range label {
		switch {
		case r >= 0x300 && r <= 0x36f, r == 0x3099, r == 0x309a, r >= 0x1100 && r <= 0x11ff:
			return errNFC
		case r == 0x200c || r == 0x200d: // joiners, within words of some scripts
			if i == 0 || strings.HasSuffix(label, string(r)) {
				return errIDNA
			}
		case i == 0 && unicode.IsMark(r):
			return errIDNA
		case r >= 0x80 && !unicode.In(r, unicode.Letter, unicode.Mark, unicode.Number, unicode.So) && r != 0xb7 && r != 0x30fb:
			return errIDNA
		}
	}
	return nil
}

// punycode encodes a label (RFC 3492 §6.3). Labels are short enough that nothing
// overflows.
func punycode(input []rune) string {
	const base, initialBias, initialN = 36, 72, 0x80
	var out []byte
	for _, r := range input {
		if r < initialN {
			out = append(out, byte(r))
		}
	}
	basic := len(out)
	handled := basic
	if basic > 0 {
		out = append(out, '-')
	}
	n, delta, bias := rune(initialN), 0, initialBias
	for handled < len(input) {
		m := nextRune(input, n)
		delta += int(m-n) * (handled + 1)
		n = m
		for _, r := range input {
			if r < n {
				delta++
			}
			if r != n {
				continue
			}
			q := delta
			for k := base; ; k += base {
				t := min(max(k-bias, 1), 26)
				if q < t {
					break
				}
				out = append(out, punyDigit(t+(q-t)%(base-t)))
				q = (q - t) / (base - t)
			}
			out = append(out, punyDigit(q))
			bias = adapt(delta, handled+1, handled == basic)
			delta = 0
			handled++
		}
		delta++
		n++
	}
	return string(out)
}

// nextRune is the least rune of the label that is not below n.
func nextRune(input []rune, n rune) rune {
	m := rune(unicode.MaxRune)
	for _, r := range input {
		if r >= n && r < m {
			m = r
		}
	}
	return m
}

func punyDigit(d int) byte {
	if d < 26 {
		return byte('a' + d)
	}
	return byte('0' + d - 26)
}

// adapt is the bias function of RFC 3492 §6.1.
func adapt(delta, points int, first bool) int {
	const base, tMin, tMax, skew, damp = 36, 1, 26, 38, 700
	if first {
		delta /= damp
	} else {
		delta /= 2
	}
	delta += delta / points
	k := 0
	for delta > (base-tMin)*tMax/2 {
		delta /= base - tMin
		k += base
	}
	return k + (base-tMin+1)*delta/(delta+skew)
}
