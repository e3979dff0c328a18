package submission

import (
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"

	"postrider/internal/address"
	"postrider/internal/message"
	"postrider/internal/sysexits"
	"postrider/policy"
	"postrider/queue"
)

// SetSenders replaces the rules of who may send as whom, for messages from now on.
func (in *Intake) SetSenders(rules *policy.SenderRules) { in.senders.Store(rules) }

// CheckSender says whether mail from the address would be refused, before there
// is a message. The null reverse-path is fine.
func (in *Intake) CheckSender(o queue.Origin, a address.Address) error {
	_, _, err := in.Sender(o, a)
	return err
}

// Sender gives the reverse-path that mail from there has in place of the one given,
// and the rule that the rest of it has to keep to; nil for none. The uid stands in
// the Received field and in the queue whatever the rule.
func (in *Intake) Sender(o queue.Origin, given address.Address) (address.Address, *policy.SenderRule, error) {
	if len(given.String()) > maxPath {
		return given, nil, refuse(553, "5.1.7", sysexits.DataErr, "sender address is too long")
	}
	given = in.complete(given)
	rules := in.senders.Load()
	if rules.Empty() || o.Via == queue.ViaInternal {
		return given, nil, nil
	}
	who, err := in.submitter(o)
	if err != nil {
		return given, nil, err
	}
	if rules.Denied(who) {
		return given, nil, refuse(550, "5.7.1", sysexits.NoPerm, "user %s may not submit mail (submission.deny_users)", who.Name)
	}
	rule := rules.For(who)
	path := rule.Envelope(given)
	if !rule.Allows(path) {
		return given, nil, notAllowed(path.String(), who, rule)
	}
	return path, rule, nil
}

// submitter says in the terms of the rules who that is.
func (in *Intake) submitter(o queue.Origin) (policy.Submitter, error) {
	who := policy.Submitter{UID: queue.NoUID, Login: o.User}
	if o.Via == queue.ViaSMTP {
		client, err := netip.ParseAddrPort(o.Client)
		who.Unknown = o.User == "" && err == nil && client.Addr().Unmap().IsLoopback()
		return who, nil
	}
	who.UID = o.UID
	var err error
	if who.Name, _, err = in.lookupUser(o.UID); err != nil {
		// A user must not slip through a rule because files are short.
		return who, &Error{Code: 451, Status: "4.3.0", Exit: sysexits.TempFail,
			Text: "cannot find out who uid " + strconv.Itoa(o.UID) + " is, try again later", Err: err}
	}
	return who, nil
}

// checkHeader refuses a message whose header says that it is from somebody whom
// the submitter may not send as (RFC 6409 §6.1, §8.1).
func (in *Intake) checkHeader(o queue.Origin, rule *policy.SenderRule, header *message.Header) error {
	if rule == nil || len(rule.Allow) == 0 {
		return nil
	}
	who, err := in.submitter(o)
	if err != nil {
		return err
	}
	for _, a := range header.Senders {
		if !rule.Allows(a) {
			return notAllowed(a.String(), who, rule)
		}
	}
	if len(header.BadSenders) > 0 {
		return notAllowed(header.BadSenders[0].Text, who, rule)
	}
	return nil
}

// CheckMessage says whether a whole message, as it was fixed up, would be refused
// for who its reverse-path or header says that it is from: for a program that has to
// leave it without an answer.
func (in *Intake) CheckMessage(o queue.Origin, from address.Address, text io.Reader) error {
	_, rule, err := in.Sender(o, from)
	if err != nil || rule == nil {
		return err
	}
	r := message.New(text, message.Options{Origin: in.o.Origin, Hostname: in.o.Hostname, ForceFrom: rule.From})
	defer r.Close()
	header, err := r.Header()
	if err != nil {
		return in.bodyError(err)
	}
	return in.checkHeader(o, rule, header)
}

// mostPatterns bounds what a refusal lists, so that it stays one line.
const mostPatterns = 5

// notAllowed names the address and what may be used in its place.
func notAllowed(address string, who policy.Submitter, rule *policy.SenderRule) *Error {
	name := "clients of this host"
	switch {
	case who.Login != "":
		name = "login " + who.Login
	case who.UID >= 0:
		name = "user " + who.Name
	}
	may := strings.Join(rule.Allow[:min(len(rule.Allow), mostPatterns)], ", ")
	if more := len(rule.Allow) - mostPatterns; more > 0 {
		may += fmt.Sprintf(" and %d more", more)
	}
	return refuse(550, "5.7.1", sysexits.NoPerm, "<%s>: %s may not send as this address, but as %s (submission.sender_rules)", address, name, may)
}
