package smtp

import (
	"strconv"
	"strings"
)

// offers is what a host said in reply to EHLO, as far as we use it.
type offers struct {
	startTLS, pipelining, eightBit, utf8, dsn bool

	sizeKnown        bool
	size             int64 // greatest message; 0 for no limit
	auth             []string
	rcptMax, mailMax int // RFC 9422; 0 for no limit
}

// parseOffers reads the lines of an EHLO reply after the first. Keywords are
// compared without case (RFC 5321 §4.1.1.1).
func parseOffers(reply string) offers {
	var o offers
	lines := strings.Split(reply, "\n")
	for _, line := range lines[1:] {
		if len(line) > 4 {
			o.add(strings.Fields(line[4:]))
		}
	}
	return o
}

func (o *offers) add(words []string) {
	if len(words) == 0 {
		return
	}
	keyword, params := strings.ToUpper(words[0]), words[1:]
	switch {
	case keyword == "STARTTLS":
		o.startTLS = true
	case keyword == "PIPELINING":
		o.pipelining = true
	case keyword == "8BITMIME":
		o.eightBit = true
	case keyword == "SMTPUTF8":
		o.utf8 = true
	case keyword == "DSN":
		o.dsn = true
	case keyword == "SIZE":
		o.sizeKnown = true
		o.size = limit(params)
	case keyword == "AUTH":
		o.auth = append(o.auth, params...)
	case strings.HasPrefix(keyword, "AUTH="): // as before RFC 2554
		o.auth = append(append(o.auth, keyword[len("AUTH="):]), params...)
	case keyword == "LIMITS":
		o.addLimits(params)
	}
}

func (o *offers) addLimits(params []string) {
	for _, p := range params {
		name, value, _ := strings.Cut(p, "=")
		n := int(min(limit([]string{value}), 1<<30))
		switch strings.ToUpper(name) {
		case "RCPTMAX":
			o.rcptMax = n
		case "MAILMAX":
			o.mailMax = n
		}
	}
}

// limit reads a number; what is none sets no limit.
func limit(params []string) int64 {
	if len(params) == 0 {
		return 0
	}
	n, err := strconv.ParseInt(params[0], 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func (o *offers) offersAuth(mechanism string) bool {
	for _, m := range o.auth {
		if strings.EqualFold(m, mechanism) {
			return true
		}
	}
	return false
}

// forGoSMTP spells the offers that go-smtp acts on as an EHLO reply it reads well.
func (o *offers) forGoSMTP() []byte {
	b := []byte("250-ready\r\n")
	for _, e := range []struct {
		offered bool
		keyword string
	}{{o.eightBit, "8BITMIME"}, {o.utf8, "SMTPUTF8"}, {o.dsn, "DSN"}, {o.sizeKnown, "SIZE"}} {
		if e.offered {
			b = append(append(append(b, "250-"...), e.keyword...), "\r\n"...)
		}
	}
	return append(b, "250 END\r\n"...)
}
