package submission

import (
	"slices"
	"strings"

	"postrider/internal/address"
	"postrider/internal/sysexits"
	"postrider/queue"
)

// complete gives a bare address our origin.
func (in *Intake) complete(a address.Address) address.Address {
	if a.Domain == "" && a.Local != "" {
		a.Domain = in.o.Origin
	}
	return a
}

// recipients completes, checks and merges the recipients of a submission.
func (in *Intake) recipients(s *Submission) ([]queue.Recipient, error) {
	if len(s.Recipients) == 0 {
		return nil, refuse(554, "5.5.1", sysexits.Usage, "no recipients given")
	}
	merged := make([]queue.Recipient, 0, len(s.Recipients))
	index := make(map[address.Address]int, len(s.Recipients))
	for _, r := range s.Recipients {
		a, err := in.permit(s.Origin, r.Address)
		if err != nil {
			return nil, err
		}
		r.Address = a
		key := address.Address{Local: a.Local, Domain: strings.ToLower(a.Domain)}
		i, again := index[key]
		if again {
			merged[i] = mergeRecipients(merged[i], r)
			continue
		}
		index[key] = len(merged)
		merged = append(merged, r)
	}
	if limit := in.o.MaxRecipients; limit > 0 && s.Origin.Via == queue.ViaSMTP && len(merged) > limit {
		return nil, refuse(452, "4.5.3", sysexits.TempFail, "too many recipients: %d, the limit is %d", len(merged), limit)
	}
	return merged, nil
}

// mergeRecipients keeps the first spelling and asks for what either asked for.
func mergeRecipients(a, b queue.Recipient) queue.Recipient {
	if a.Original == "" {
		a.Original = b.Original
	}
	a.Notify = mergeNotify(a.Notify, b.Notify)
	return a
}

// mergeNotify unites two wishes (RFC 3461 §4.1). Where one of them asks for
// nothing, it stands for reports of failures and delays.
func mergeNotify(a, b queue.Notify) queue.Notify {
	switch {
	case a == b, b == queue.NotifyNever:
		return a
	case a == queue.NotifyNever:
		return b
	}
	const unasked = queue.NotifyFailure | queue.NotifyDelay
	if a == 0 {
		a = unasked
	}
	if b == 0 {
		b = unasked
	}
	return a | b
}

// destinations asks the router for each recipient.
func (in *Intake) destinations(from address.Address, rcpts []queue.Recipient) []string {
	d := make([]string, len(rcpts))
	for i, r := range rcpts {
		d[i] = in.o.Router.Destination(from, r.Address)
	}
	return d
}

// needsUTF8 reports whether an address cannot be written without RFC 6531: a
// domain can, as A-labels, a local part cannot.
func needsUTF8(from address.Address, rcpts []queue.Recipient) bool {
	return !isASCII(from.Local) || slices.ContainsFunc(rcpts, func(r queue.Recipient) bool { return !isASCII(r.Address.Local) })
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
