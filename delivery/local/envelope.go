package local

import (
	"postrider/internal/address"
	"postrider/queue"
)

// Envelope is what a delivery needs to know besides the message.
type Envelope struct {
	// From is the reverse-path; null for reports.
	From address.Address
	// To is the recipient; of a file or command, the user or list it belongs to.
	To address.Address
	// Original is the recipient as the sender gave it, plain or as
	// "rfc822;address"; empty if it is To, or the first of Via. It becomes X-Original-To.
	Original string
	// Target says what the message goes into. Of kind queue.TargetAddress, that is
	// the user whom the local part of To names, as queue.TargetUser.
	Target queue.Target
	// Via are the addresses whose alias or .forward led here, the first one first.
	Via []address.Address
}

// original is the recipient as the sender gave it, as far as anybody knows.
func (e Envelope) original() string {
	switch {
	case e.Original != "":
		return plainOriginal(e.Original)
	case len(e.Via) > 0:
		return clean(e.Via[0].String(), false)
	}
	return clean(e.To.String(), false)
}

// Outcome is what became of a request.
type Outcome struct {
	// Result of a delivery is queue.Delivered, queue.Temporary, queue.Failed, or
	// queue.Expanded where the user has a .forward: then nothing was delivered.
	// Of a look at a .forward, queue.Pending says that there is none.
	Result queue.Result
	// Status is the enhanced status code (RFC 3463); none of queue.Pending.
	Status string
	// Text says in one line what happened and, if an administrator can mend it, how.
	Text string
	// Forward is the text of the file, with queue.Expanded.
	Forward string
}

func expanded(path, text string) Outcome {
	return Outcome{Result: queue.Expanded, Status: "2.0.0", Text: "forwarded by " + path, Forward: text}
}

func delivered(text string) Outcome {
	return Outcome{Result: queue.Delivered, Status: "2.0.0", Text: text}
}
