package address

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// toASCII turns a domain into A-labels for a look-up (RFC 5891 §5). ASCII domains
// and literals come back as they are.
func toASCII(domain string) (string, error) {
	if isASCII(domain) {
		return domain, nil
	}
	if !utf8.ValidString(domain) {
		return "", ErrUTF8
	}
	out, err := idna.Lookup.ToASCII(domain)
	if err != nil {
		return "", &reason{ErrDomain, strings.TrimPrefix(err.Error(), "idna: ")}
	}
	out = strings.TrimSuffix(out, ".")
	if len(out) > maxDomain {
		return "", errLength
	}
	for label := range strings.SplitSeq(out, ".") {
		if label == "" || len(label) > maxLabel {
			return "", errLength
		}
	}
	return out, nil
}
