package command

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/spf13/cobra"

	"postrider/internal/logins"
	"postrider/internal/sysexits"
)

func (a *app) userCommand() *cobra.Command {
	group := newGroup("user", "Keep the logins of the submission service")
	group.AddCommand(&cobra.Command{
		Use: "add NAME", Short: "Add a login, or give it another password", Args: cobra.ExactArgs(1),
		Long: "Add a login, or give it another password. The password is asked for, or read as one line\n" +
			"where standard input is no terminal. A daemon that runs knows it at once.",
		Example: "  postrider user add alice@example.com",
		RunE:    func(cmd *cobra.Command, args []string) error { return a.addUser(cmd, args[0]) },
	}, &cobra.Command{
		Use: "delete NAME", Short: "Remove a login", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := a.load()
			if err != nil {
				return err
			}
			if err := logins.Delete(c.Submission.Users, args[0]); err != nil {
				return usersStatus(err)
			}
			fmt.Fprintf(a.stderr, "deleted: %s\n", args[0])
			return nil
		},
	}, &cobra.Command{
		Use: "list", Short: "Print the names of all logins", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := a.load()
			if err != nil {
				return err
			}
			names, err := logins.List(c.Submission.Users)
			if err != nil {
				return usersStatus(err)
			}
			for _, name := range names {
				if _, err := fmt.Fprintln(a.stdout, name); err != nil {
					return err
				}
			}
			return nil
		},
	})
	return group
}

func (a *app) addUser(cmd *cobra.Command, name string) error {
	c, err := a.load()
	if err != nil {
		return err
	}
	if err := logins.CheckName(name); err != nil {
		return exit(sysexits.Usage, "%w", err)
	}
	password, err := a.newPassword(cmd.Context(), name)
	if err != nil {
		return err
	}
	added, err := logins.Set(c.Submission.Users, name, password, spoolGroup(c.Spool))
	if err != nil {
		return usersStatus(err)
	}
	verb := "password changed"
	if added {
		verb = "added"
	}
	fmt.Fprintf(a.stderr, "%s: %s\n", verb, name)
	return nil
}

// spoolGroup is the group that a new file of logins gets, so that the daemon can
// read it: that of the spool. Who is not root cannot give files away.
func spoolGroup(spool string) int {
	info, err := os.Stat(spool)
	if err != nil || os.Geteuid() != 0 {
		return -1
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Gid)
	}
	return -1
}

// usersStatus gives an error of the file of logins its remedy and exit status.
func usersStatus(err error) error {
	switch {
	case errors.Is(err, logins.ErrUnknown):
		return exit(sysexits.NoUser, "%w; postrider user list prints those there are", err)
	case errors.Is(err, fs.ErrPermission):
		return exit(sysexits.NoPerm, "%w; the file of logins is root's: try again as root", err)
	case errors.Is(err, fs.ErrNotExist):
		return exit(sysexits.CantCreate, "%w; make the directory, or set submission.users", err)
	case errors.As(err, new(*fs.PathError)), errors.As(err, new(syscall.Errno)):
		return exit(sysexits.IOErr, "%w", err)
	}
	return exit(sysexits.DataErr, "%w", err)
}
