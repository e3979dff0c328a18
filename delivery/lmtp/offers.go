package lmtp

import (
	"strconv"
	"strings"
)

// offers is what a store said in reply to LHLO, as far as we use it.
type offers struct {
	pipelining, eightBit, utf8, dsn, size bool
	most                                  int64 // greatest message; 0 for no limit
}

// parseOffers reads the lines after the first. Keywords are compared without case
// (RFC 5321 §4.1.1.1).
func parseOffers(r reply) offers {
	var o offers
	_, rest, _ := strings.Cut(r.lines, "\n")
	for line := range strings.SplitSeq(rest, "\n") {
		if len(line) < 5 {
			continue
		}
		keyword, params, _ := strings.Cut(line[4:], " ")
		switch strings.ToUpper(keyword) {
		case "PIPELINING":
			o.pipelining = true
		case "8BITMIME":
			o.eightBit = true
		case "SMTPUTF8":
			o.utf8 = true
		case "DSN":
			o.dsn = true
		case "SIZE":
			o.size = true
			if n, err := strconv.ParseInt(strings.TrimSpace(params), 10, 64); err == nil && n > 0 {
				o.most = n
			}
		}
	}
	return o
}
