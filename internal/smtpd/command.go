package smtpd

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"postrider/internal/address"
)

const (
	// maxLine bounds a command line. RFC 3461 §4 wants at least 1036 bytes, for
	// addresses and their DSN parameters.
	maxLine = 4096
	// maxRefused is the number of commands that are refused before the client is
	// given up, and maxRejected the same of recipients: who asks for more is looking
	// for addresses.
	maxRefused  = 20
	maxRejected = 100
	// maxMessages over one connection; hosts that may relay are not counted.
	maxMessages = 1000
	// maxORCPT is the longest ORCPT parameter (RFC 3461 §4.2).
	maxORCPT = 500
)

// command decides about one command line, its line end included, and leaves in
// pending what the engine is to see of it. Nothing there means that the line has
// been answered.
func (g *guard) command(raw []byte) error {
	line := string(bytes.TrimRight(raw, "\r\n"))
	g.verb, g.orcpt, g.final = verbOf(line), "", false
	switch {
	case g.verb == "BDAT":
		return g.chunkCommand(line)
	case strings.IndexFunc(line, isControl) >= 0:
		return g.refuse("501 5.5.2 Control characters are not allowed in commands")
	case isForeign(line):
		// A browser or proxy was made to talk to us; its body would be full of
		// commands of somebody else's choice.
		return g.die("421 4.7.0 This is not an HTTP server", nil)
	case len(line) >= 8 && strings.EqualFold(line[:8], "STARTTLS"):
		return g.startTLS(line)
	case g.verb == "AUTH":
		return g.authCommand(line)
	case g.verb == "HELP":
		g.say("214 2.0.0 See RFC 5321 and the documentation of postrider")
		return nil
	case g.verb == "MAIL":
		return g.mailCommand(line)
	case g.verb == "RCPT":
		return g.pathCommand(line, "TO:", true)
	case !isKnown(g.verb):
		if len(line) > 4 && strings.EqualFold(line[:4], "BDAT") {
			// Written so that it is no command, but its sender may send a chunk.
			return g.die("501 5.5.4 Syntax: BDAT size [LAST]", nil)
		}
		return g.refuse("500 5.5.2 Command not recognized")
	}
	g.forward(line)
	return nil
}

// isKnown knows the commands that are left to the engine, which counts the others by
// itself and soon hangs up.
func isKnown(verb string) bool {
	switch verb {
	case "HELO", "EHLO", "DATA", "RSET", "NOOP", "QUIT", "VRFY", "EXPN":
		return true
	}
	return false
}

// verbOf gives the command of a line as the engine sees it.
func verbOf(line string) string {
	if len(line) < 4 || len(line) > 4 && line[4] != ' ' {
		return ""
	}
	return strings.ToUpper(line[:4])
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// isForeign tells the first lines of other protocols.
func isForeign(line string) bool {
	method, _, _ := strings.Cut(line, " ")
	switch method {
	case "GET", "POST", "PUT", "HEAD", "OPTIONS", "PATCH", "DELETE", "CONNECT":
		return true
	}
	return false
}

// mailCommand greets in the name of a local program that did not, and turns away
// who has to do something else first.
func (g *guard) mailCommand(line string) error {
	if g.peer.local && !g.greeted {
		g.held, g.verb, g.swallow, g.greeted = line, "HELO", true, true
		g.forward("HELO localhost")
		return nil
	}
	login := g.peer.service.needsLogin()
	switch {
	case login && !g.peer.tls:
		return g.refuse("530 5.7.0 Must issue a STARTTLS command first") // RFC 3207 §4
	case login && g.user == "":
		return g.refuse("530 5.7.0 Authentication required") // RFC 4954 §6
	case !g.greeted:
		return g.refuse("503 5.5.1 Please introduce yourself first")
	case !g.peer.local && !g.peer.trusted && g.messages >= maxMessages:
		return g.die("421 4.7.0 Too many messages over one connection, connect again", nil)
	}
	return g.pathCommand(line, "FROM:", false)
}

// pathCommand completes the bare address of a MAIL or RCPT command, which the
// engine would refuse, and looks after the parameters that the engine is too
// strict or too lax with.
func (g *guard) pathCommand(line, keyword string, isRecipient bool) error {
	arg := strings.TrimSpace(line[4:])
	if len(arg) < len(keyword) || !strings.EqualFold(arg[:len(keyword)], keyword) {
		g.forward(line)
		return nil
	}
	path, rest := address.CutPath(strings.TrimLeft(arg[len(keyword):], " \t"))
	if domains(path) > 1 {
		return g.refuse("501 5.1.3 More than one @ in an address")
	}
	params, refusal := g.parameters(rest)
	if refusal != "" {
		return g.refuse(refusal)
	}
	g.forward(line[:4] + " " + keyword + g.complete(path, isRecipient) + params)
	return nil
}

// complete adds the origin to an address without a domain: for any address of a
// client on this host, and for every client to postmaster, whom RFC 5321 §4.5.1
// wants to be found without a domain.
func (g *guard) complete(path string, isRecipient bool) string {
	inner, bracketed := strings.CutPrefix(path, "<")
	inner, closed := strings.CutSuffix(inner, ">")
	if bracketed != closed || inner == "" || domains(inner) > 0 {
		return path
	}
	if !g.peer.local && !g.peer.loopback && !(isRecipient && strings.EqualFold(inner, "postmaster")) {
		return path
	}
	return "<" + inner + "@" + g.srv.origin + ">"
}

// domains counts the at signs of a path that are not quoted, behind a source route
// (RFC 5321 §4.1.2, A-d-l), which ends with a colon.
func domains(path string) int {
	path = strings.TrimPrefix(path, "<")
	if strings.HasPrefix(path, "@") {
		_, path, _ = strings.Cut(path, ":")
	}
	n, quoted := 0, false
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == '@' && !quoted:
			n++
		}
	}
	return n
}

// parameters checks ESMTP parameters and gives those that the engine is to see,
// each after a space. A refusal is the reply to give instead.
func (g *guard) parameters(s string) (kept, refusal string) {
	fields := strings.Fields(s)
	var b strings.Builder
	for i, field := range fields {
		key, value, _ := strings.Cut(field, "=")
		for _, before := range fields[:i] {
			if k, _, _ := strings.Cut(before, "="); strings.EqualFold(k, key) {
				return "", "501 5.5.4 Parameter given twice"
			}
		}
		keep := true
		switch strings.ToUpper(key) {
		case "SIZE":
			keep, refusal = g.checkSize(value)
		case "ORCPT":
			keep, refusal = g.noteORCPT(value)
		}
		if refusal != "" {
			return "", refusal
		}
		if keep {
			b.WriteByte(' ')
			b.WriteString(field)
		}
	}
	return b.String(), ""
}

// checkSize judges the SIZE parameter (RFC 1870 §6). The engine knows no sizes
// beyond 32 bits.
func (g *guard) checkSize(value string) (keep bool, refusal string) {
	n, err := strconv.ParseUint(value, 10, 64)
	limit := g.srv.opts.MaxSize
	if err == nil && limit > 0 && n > uint64(limit) {
		return false, fmt.Sprintf("552 5.3.4 Message is larger than the limit of %d bytes", limit)
	}
	return err != nil || n <= 1<<32-1, ""
}

// noteORCPT keeps an original recipient of a type that the engine does not know
// for the session: other agents relay X.400 and the like, and it is not ours to
// judge (RFC 3461 §4.2).
func (g *guard) noteORCPT(value string) (keep bool, refusal string) {
	if len(value) > maxORCPT {
		return false, "501 5.5.4 ORCPT is too long"
	}
	kind, addr, ok := strings.Cut(value, ";")
	if !ok || kind == "" || addr == "" || strings.EqualFold(kind, "rfc822") || strings.EqualFold(kind, "utf-8") {
		return true, ""
	}
	g.orcpt = kind + ";" + decodeXtext(addr)
	return false, ""
}

// decodeXtext decodes +XX (RFC 3461 §4); what is not well-formed, or would not be
// printable, stays as it is.
func decodeXtext(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '+' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil && n >= ' ' && n < 0x7f {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// chunkCommand reads BDAT (RFC 3030 §2) as the engine does. Where the size cannot
// be told, there is no way to know where the next command begins.
func (g *guard) chunkCommand(line string) error {
	args := strings.Fields(line[4:])
	if len(args) == 0 || len(args) > 2 || len(args) == 2 && !strings.EqualFold(args[1], "LAST") {
		return g.die("501 5.5.4 Syntax: BDAT size [LAST]", nil)
	}
	size, err := strconv.ParseUint(args[0], 10, 32)
	if err != nil {
		return g.die("501 5.5.4 BDAT size cannot be read", nil)
	}
	g.chunkLast = len(args) == 2
	g.chunkLeft = int64(size)
	g.phase = inChunk
	if size == 0 {
		g.chunkDone()
	}
	g.forward("BDAT " + strings.Join(args, " "))
	return nil
}
