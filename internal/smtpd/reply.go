package smtpd

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"time"
)

// maxUnsent is how much is said before it is sent though the client is not yet
// waited for.
const maxUnsent = 4 << 10

// Write implements net.Conn for the engine, which writes each line of a reply by
// itself. Lines are gathered, mended, and sent when we are about to wait for the
// client.
func (g *guard) Write(p []byte) (int, error) {
	if g.dead {
		return len(p), nil
	}
	if len(g.reply) > 0 || len(p) == 0 || p[len(p)-1] != '\n' {
		g.reply = append(g.reply, p...)
		if !bytes.HasSuffix(g.reply, []byte("\n")) {
			return len(p), nil
		}
		line := string(g.reply)
		g.reply = nil
		return len(p), g.replyLine(line)
	}
	return len(p), g.replyLine(string(p))
}

// replyLine takes one whole line of a reply.
func (g *guard) replyLine(line string) error {
	last := len(line) < 4 || line[3] != '-'
	first := !g.replying
	g.replying = !last
	if g.swallow {
		g.swallow = !last
		g.noteReply(line, last)
		return nil
	}
	g.mem.out = append(g.mem.out, g.mend(line, first)...)
	g.noteReply(line, last)
	if len(g.mem.out) > maxUnsent || last && g.final {
		// The answer to a message is what keeps the client from sending it again.
		g.final = g.final && !last
		return g.flush()
	}
	return nil
}

// noteReply draws from the engine's reply what comes next.
func (g *guard) noteReply(line string, last bool) {
	if !last {
		return
	}
	good := strings.HasPrefix(line, "250")
	g.count(line)
	switch {
	case g.verb == "AUTH" && strings.HasPrefix(line, "334"):
		g.phase = inAuth
	case strings.HasPrefix(line, "354"):
		g.phase, g.body, g.bodyBytes = inBody, body{lenient: g.peer.local, tolerant: g.user != ""}, 0
	case g.verb == "BDAT":
		g.chunked = good && !g.final
	case (g.verb == "HELO" || g.verb == "EHLO") && good:
		g.greeted, g.extended = true, g.verb == "EHLO"
		fallthrough
	case g.verb == "RSET" && good:
		// The engine leaves the message begun with BDAT to a goroutine, which must
		// not meet the next message.
		if g.chunked {
			g.err = net.ErrClosed
		}
	}
}

// count keeps account of what a network client may do only so often.
func (g *guard) count(line string) {
	switch {
	case g.peer.local:
	case g.final && strings.HasPrefix(line, "250"):
		g.messages++
	case line[0] != '5':
	case g.verb == "AUTH" && strings.HasPrefix(line, "535"):
		if g.failedLogins++; g.failedLogins >= maxFailedLogins {
			g.doom = "421 4.7.0 Too many failed logins"
		}
	case g.verb == "RCPT":
		if g.rejected++; g.rejected > maxRejected {
			g.doom = "421 4.7.0 Too many rejected recipients"
		}
	default:
		if g.refused++; g.refused > maxRefused {
			g.doom = "421 4.7.0 Too many errors"
		}
	}
}

// mend puts right what the engine's replies lack, and keeps what the client said
// out of them.
func (g *guard) mend(line string, first bool) string {
	isGreeting := g.verb == "EHLO" || g.verb == "HELO"
	switch {
	case isGreeting && first && strings.HasPrefix(line, "250"):
		return line[:4] + g.srv.opts.Hostname + "\r\n" // RFC 5321 §4.1.1.1: the domain comes first
	case isGreeting && strings.HasPrefix(line, "250 SIZE"):
		return g.limits()
	case g.verb == "MAIL" && strings.HasPrefix(line, "250 "):
		return "250 2.1.0 Ok\r\n"
	case g.verb == "RCPT" && strings.HasPrefix(line, "250 "):
		return "250 2.1.5 Ok\r\n"
	case g.verb == "AUTH":
		return mendAuth(line)
	case strings.HasPrefix(line, "501 5.5.2 Bad command"):
		return "500" + line[3:] // RFC 5321 §4.2.4
	case strings.HasPrefix(line, "502 5.5.1") && g.isMailCommand():
		return "503" + line[3:] // RFC 5321 §4.2.4: the command is known, its place is wrong
	case (strings.HasPrefix(line, "500 5.5.4") || strings.HasPrefix(line, "504 5.5.4")) && g.isMailCommand():
		return "555" + line[3:] // RFC 5321 §4.1.1.11
	}
	return line
}

// mendAuth gives the replies to AUTH the codes of RFC 4954 §4 and §6.
func mendAuth(line string) string {
	switch {
	case strings.HasPrefix(line, "235 2.0.0"):
		return "235 2.7.0" + line[9:]
	case strings.HasPrefix(line, "502 5.5.4"):
		return "501" + line[3:]
	case strings.HasPrefix(line, "454 4.7.0 Invalid base64"):
		return "501 5.5.2" + line[9:]
	}
	return line
}

func (g *guard) isMailCommand() bool {
	switch g.verb {
	case "MAIL", "RCPT", "DATA", "BDAT":
		return true
	}
	return false
}

// limits announces our limits in place of the engine's, which counts a message of
// exactly the greatest size as too large.
func (g *guard) limits() string {
	var s string
	if g.offersTLS() {
		s = "250-STARTTLS\r\n"
	}
	if n := g.srv.opts.MaxRecipients; n > 0 && !g.peer.local {
		s += fmt.Sprintf("250-LIMITS RCPTMAX=%d\r\n", n) // RFC 9422
	}
	if g.srv.opts.MaxSize > 0 {
		return s + fmt.Sprintf("250 SIZE %d\r\n", g.srv.opts.MaxSize)
	}
	return s + "250 SIZE\r\n"
}

// say answers in the engine's stead.
func (g *guard) say(reply string) {
	if g.dead {
		return
	}
	g.mem.out = append(append(g.mem.out, reply...), "\r\n"...)
}

// flush sends what has been said.
func (g *guard) flush() error {
	if g.dead || len(g.mem.out) == 0 {
		return nil
	}
	g.Conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := g.Conn.Write(g.mem.out)
	g.mem.out = g.mem.out[:0]
	if err != nil {
		// The engine is told that the connection is closed: many clients do not wait
		// for the answer to QUIT, and that is no trouble to log.
		g.dead, g.err = true, net.ErrClosed
		g.srv.opts.Logger.Debug("SMTP client does not listen", "client", g.peer.String(), "error", err)
	}
	return err
}
