// Package callers proves postrider with the programs that hand it mail. It consists
// of tests only, which run with POSTRIDER_CALLERS=1, as root (make e2e).
//
// Nothing of this is seen by the host it runs on:
//
//  1. The script install puts the callers, from the distribution's packages, into an
//     overlay over the host's file system.
//  2. The tests start themselves again with mounts, processes, a network with nothing
//     but a loopback device, and a host name of their own, and mount a further overlay
//     for what they change.
//  3. There postrider is installed as its Makefile says, and becomes the machine's
//     sendmail; its daemon starts as root, and relays to a sink on the loopback device.
//  4. Each caller runs as the user who would run it. Its mail is looked for in the
//     mailboxes and in the sink: once, whole, with the right envelope.
//  5. In the end every message that arrived must be one that a test has asked for.
//
// Postfix has an overlay of its own, since it would be this machine's sendmail too.
// POSTRIDER_CALLERS_DIR names where the overlays are kept.
package callers
