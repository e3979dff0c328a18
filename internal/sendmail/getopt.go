package sendmail

import (
	"path"
	"strings"

	"postrider/internal/sysexits"
)

const usage = "usage: sendmail [-t] [-i] [-f sender] [-F name] [option...] [--] [recipient...]"

// parseArgs reads the command line, program name first. Options end at the first
// operand or at "--", as POSIX has it, so that no address can pass for an option.
func parseArgs(argv []string) (*options, error) {
	o := &options{mode: modeDeliver}
	if len(argv) == 0 {
		return o, nil
	}
	switch path.Base(argv[0]) {
	case "mailq":
		o.mode = modeList
	case "newaliases":
		o.mode = modeAliases
	}
	rest, err := o.parseOptions(argv[1:])
	if err != nil {
		return nil, err
	}
	o.operands = rest
	return o, nil
}

// checkMode refuses what goes with other modes only.
func (o *options) checkMode() error {
	switch o.mode {
	case modeDeliver:
		return nil
	case modeVerify:
		if len(o.operands) == 0 {
			return failf(sysexits.Usage, "option -bv needs addresses; %s", usage)
		}
	case modeInterval, modeHostStatus, modePurge: // nothing is done, with operands or without
	default:
		if len(o.operands) > 0 {
			return failf(sysexits.Usage, "option %s takes no operands; %s", o.mode.option(), usage)
		}
	}
	if o.fromHeader {
		return failf(sysexits.Usage, "option -t is for handing in messages and does not go with %s; %s", o.mode.option(), usage)
	}
	return nil
}

// parseOptions consumes the options and returns the operands.
func (o *options) parseOptions(args []string) (operands []string, err error) {
	for len(args) > 0 {
		arg := args[0]
		switch {
		case arg == "--":
			return args[1:], nil
		case len(arg) < 2 || arg[0] != '-':
			return args, checkOperands(args)
		case strings.HasPrefix(arg, "--"):
			err, args = o.setLong(arg), args[1:]
		default:
			args, err = o.parseCluster(arg[1:], args[1:])
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// checkOperands refuses what looks like an option among the operands.
func checkOperands(operands []string) error {
	for _, operand := range operands {
		if strings.HasPrefix(operand, "-") {
			return failf(sysexits.Usage, "operand %q looks like an option; use -- before the recipients", operand)
		}
	}
	return nil
}

// parseCluster reads one argument of options and returns what follows the values
// it has used up.
func (o *options) parseCluster(cluster string, rest []string) ([]string, error) {
	for cluster != "" {
		opt := findOption(cluster[0])
		if opt == nil {
			return nil, failf(sysexits.Usage, "option -%s is not offered; %s", cluster[:1], usage)
		}
		letter := cluster[:1]
		cluster = cluster[1:]
		var v string
		switch {
		case opt.takes == noValue:
		case cluster != "" || opt.takes == attached:
			v, cluster = cluster, ""
		case len(rest) == 0:
			return nil, failf(sysexits.Usage, "option -%s needs a value; %s", letter, usage)
		default:
			v, rest = rest[0], rest[1:]
		}
		if err := opt.set(o, v); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

func findOption(letter byte) *option {
	for i := range grammar {
		if grammar[i].letter == letter {
			return &grammar[i]
		}
	}
	return nil
}

// setLong takes the few options with a long name: --json, for a queue listing;
// --help and --version, which end the run.
func (o *options) setLong(arg string) error {
	switch arg {
	case "--json":
		o.json = true
	case "--help":
		return errHelp
	case "--version":
		return errVersion
	default:
		return failf(sysexits.Usage, "option %s is not offered; %s", arg, usage)
	}
	return nil
}
