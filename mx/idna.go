package mx

import (
	"errors"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"
)

var errIDNA = errors.New("not a name in NFC of letters, digits and marks: write its A-labels (xn--…)")

// toASCII turns a name into lower-case A-labels (RFC 5891 §5): dots and wide letters
// of East Asian input methods are mapped (RFC 5895 §2), capitals lowered, and labels
// that are not ASCII go through Punycode. What may need normalisation, which takes
// large tables, is refused rather than looked up under a wrong name.
func toASCII(name string) (string, error) {
	if strings.IndexFunc(name, beyondASCII) < 0 {
		return strings.ToLower(name), nil
	}
	if !utf8.ValidString(name) {
		return "", errIDNA
	}
	// Long before overflow, and before the quadratic encoder takes notice.
	if len(name) > 4*maxName {
		return "", errNameLength
	}
	table := needNormalisation()
	if strings.IndexFunc(name, func(r rune) bool { return unicode.Is(table, r) }) >= 0 {
		return "", errIDNA
	}
	labels := strings.Split(strings.Map(mapRune, name), ".")
	for i, label := range labels {
		if strings.IndexFunc(label, beyondASCII) < 0 {
			continue
		}
		if !encodable(label) {
			return "", errIDNA
		}
		labels[i] = "xn--" + punycode([]rune(label))
	}
	return strings.Join(labels, "."), nil
}

// needNormalisation holds the characters that UTS #46 maps to others or drops, or
// that NFC joins with those before them, in blocks where most do.
func needNormalisation() *unicode.RangeTable {
	return &unicode.RangeTable{R16: []unicode.Range16{
		{0xaa, 0xaa, 1}, {0xb2, 0xb5, 1}, {0xb9, 0xbe, 1}, {0x130, 0x130, 1}, {0x132, 0x133, 1}, {0x13f, 0x140, 1},
		{0x149, 0x149, 1}, {0x17f, 0x17f, 1}, {0x1c4, 0x1cc, 1}, {0x1f1, 0x1f3, 1}, {0x2b0, 0x2b8, 1},
		{0x2e0, 0x2e4, 1}, {0x300, 0x36f, 1}, {0x374, 0x374, 1}, {0x37a, 0x37a, 1}, {0x3d0, 0x3d6, 1},
		{0x3f0, 0x3f2, 1}, {0x3f5, 0x3f5, 1}, {0x3f9, 0x3f9, 1}, {0x587, 0x587, 1}, {0x675, 0x678, 1},
		{0x958, 0x95f, 1}, {0x9dc, 0x9df, 1}, {0xa33, 0xa33, 1}, {0xa36, 0xa36, 1}, {0xa59, 0xa5b, 1},
		{0xa5e, 0xa5e, 1}, {0xb5c, 0xb5d, 1}, {0xe33, 0xe33, 1}, {0xeb3, 0xeb3, 1}, {0xedc, 0xedd, 1},
		{0xf43, 0xf43, 1}, {0xf4d, 0xf4d, 1}, {0xf52, 0xf52, 1}, {0xf57, 0xf57, 1}, {0xf5c, 0xf5c, 1},
		{0xf69, 0xf69, 1}, {0xf73, 0xf73, 1}, {0xf75, 0xf79, 1}, {0xf81, 0xf81, 1}, {0xf93, 0xf93, 1},
		{0xf9d, 0xf9d, 1}, {0xfa2, 0xfa2, 1}, {0xfa7, 0xfa7, 1}, {0xfac, 0xfac, 1}, {0xfb9, 0xfb9, 1},
		{0x10fc, 0x10fc, 1}, {0x1100, 0x11ff, 1}, {0x13a0, 0x13fd, 1}, {0x180b, 0x180f, 1}, {0x1c80, 0x1c88, 1},
		{0x1d2c, 0x1dbf, 1}, {0x1e9a, 0x1e9e, 1}, {0x1f71, 0x200b, 1}, {0x200e, 0x218f, 1}, {0x2460, 0x24ff, 1},
		{0x2c7c, 0x2c7d, 1}, {0x2d6f, 0x2d6f, 1}, {0x2e80, 0x2fdf, 1}, {0x3036, 0x303a, 1}, {0x3099, 0x309a, 1},
		{0x309f, 0x309f, 1}, {0x30ff, 0x30ff, 1}, {0x3131, 0x319f, 1}, {0x3200, 0x33ff, 1}, {0xa69c, 0xa69d, 1},
		{0xa770, 0xa770, 1}, {0xa7f2, 0xa7f9, 1}, {0xab5c, 0xabbf, 1}, {0xf900, 0xfe0f, 1}, {0xfe70, 0xfeff, 1},
		{0xff66, 0xffee, 1},
	}, R32: []unicode.Range32{
		{0x10781, 0x107ba, 1}, {0x1d15e, 0x1d1c0, 1}, {0x1d400, 0x1d7ff, 1}, {0x1e030, 0x1e06d, 1},
		{0x1ee00, 0x1eebb, 1}, {0x1f100, 0x1f251, 1}, {0x1fbf0, 0x1fbf9, 1}, {0x2f800, 0x2fa1d, 1},
	}, LatinOffset: 3}
}

func beyondASCII(r rune) bool { return r >= utf8.RuneSelf }

func mapRune(r rune) rune {
	switch {
	case r == '\u3002', r == '\uff0e', r == '\uff61':
		return '.'
	case r > '\uff00' && r < '\uff5f':
		r -= 0xfee0
	}
	return unicode.ToLower(r)
}

// encodable refuses what no label may have (RFC 5892).
func encodable(label string) bool {
	for i, r := range label {
		switch {
		case i == 0 && unicode.IsMark(r):
			return false
		case beyondASCII(r) && !unicode.In(r, unicode.Letter, unicode.Mark, unicode.Number, unicode.So) &&
			!strings.ContainsRune("\u00b7\u30fb\u200c\u200d", r):
			return false
		}
	}
	return true
}

// The parameters of RFC 3492 §5.
const (
	punyBase    = 36
	punyTMin    = 1
	punyTMax    = 26
	punySkew    = 38
	punyDamp    = 700
	punyBias    = 72
	punyInitial = 0x80
)

// punycode encodes one label (RFC 3492 §6.3).
func punycode(label []rune) string {
	var out []byte
	for _, r := range label {
		if !beyondASCII(r) {
			out = append(out, byte(r))
		}
	}
	basic, handled := len(out), len(out)
	if basic > 0 {
		out = append(out, '-')
	}
	delta, bias := 0, punyBias
	for n := rune(punyInitial); handled < len(label); n++ {
		next := atLeast(label, n)
		delta += int(next-n) * (handled + 1)
		n = next
		for _, r := range label {
			if r < n {
				delta++
			}
			if r != n {
				continue
			}
			out = punyNumber(out, delta, bias)
			bias = punyAdapt(delta, handled+1, handled == basic)
			delta = 0
			handled++
		}
		delta++
	}
	return string(out)
}

// atLeast is the smallest rune of the label that is not below n.
func atLeast(label []rune, n rune) rune {
	least := rune(math.MaxInt32)
	for _, r := range label {
		if r >= n {
			least = min(least, r)
		}
	}
	return least
}

// punyNumber appends q as a generalised variable-length integer (RFC 3492 §3.3).
func punyNumber(out []byte, q, bias int) []byte {
	const digits = "abcdefghijklmnopqrstuvwxyz0123456789"
	for k := punyBase; ; k += punyBase {
		t := min(max(k-bias, punyTMin), punyTMax)
		if q < t {
			return append(out, digits[q])
		}
		out = append(out, digits[t+(q-t)%(punyBase-t)])
		q = (q - t) / (punyBase - t)
	}
}

// punyAdapt is the bias function of RFC 3492 §6.1.
func punyAdapt(delta, points int, first bool) int {
	if first {
		delta /= punyDamp
	} else {
		delta /= 2
	}
	delta += delta / points
	k := 0
	for ; delta > (punyBase-punyTMin)*punyTMax/2; k += punyBase {
		delta /= punyBase - punyTMin
	}
	return k + (punyBase-punyTMin+1)*delta/(delta+punySkew)
}
