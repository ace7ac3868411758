package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/troupe-storage/troupe/api/accounts"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// authCommand holds what is done about users, their access keys, and policies.
func authCommand(f *frame) *cobra.Command {
	return parent("auth", "Make, show and change users, access keys and policies",
		parent("user", "Make, show, disable, enable and remove users",
			authUserCreate(f), authUserList(f),
			authUser(f, "show NAME", "Show a user with its access keys; secrets are never shown again", accounts.Client.User),
			authUser(f, "disable NAME", "Refuse whatever a user signs, with any of its keys", userChange(true)),
			authUser(f, "enable NAME", "Let a user that was disabled sign again", userChange(false)),
			authUser(f, "rm NAME", "Remove a user with its access keys", accounts.Client.RemoveUser),
		),
		parent("key", "Make, replace, disable, enable, end and remove access keys of users",
			authKeyCreate(f), authKeyRotate(f), authKeyExpire(f),
			authPair(f, "disable USER KEY", "Refuse whatever is signed with an access key", keyChange(true)),
			authPair(f, "enable USER KEY", "Let an access key that was disabled sign again", keyChange(false)),
			authPair(f, "rm USER KEY", "Remove an access key", accounts.Client.RemoveKey),
		),
		parent("policy", "Put, list, show, attach, detach and remove named policies",
			authPolicyPut(f), authPolicyList(f),
			authPolicy(f, "show NAME", "Show the text of a policy and whom it is attached to", accounts.Client.Policy),
			authPolicy(f, "rm NAME", "Remove a policy that is attached to nobody", accounts.Client.RemovePolicy),
			authPair(f, "attach USER POLICY", "Give a user a named policy", accounts.Client.Attach),
			authPair(f, "detach USER POLICY", "Take a named policy from a user", accounts.Client.Detach),
		),
	)
}

// parent is a command that only holds others.
func parent(use, short string, below ...*cobra.Command) *cobra.Command {
	command := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(command *cobra.Command, _ []string) error { return command.Help() }}
	command.AddCommand(below...)
	return command
}

// example is how a command is called.
func example(path, use string) string {
	return "  troupe auth " + path + " " + strings.NewReplacer("NAME", "ann", "USER", "ann", "KEY", "TRKA5S2LQX7MZC4DPW3N", "POLICY", "readers").Replace(use)
}

// accountsClient asks the node about users.
func (s *Session) accountsClient() (accounts.Client, error) {
	control, err := s.Control()
	return accounts.Client{Control: control}, err
}

// showUser writes a user.
func (s *Session) showUser(u *accounts.User) error {
	return s.Out.Document(u, func(w io.Writer) {
		kind := "account"
		if u.Of != "" {
			kind = "user of " + u.Of
		}
		rows := [][]string{
			{"name", u.Name}, {"kind", kind}, {"id", u.ID}, {"number", u.Number}, {"display", printable(u.Display)}, {"e-mail", printable(u.Email)},
			{"state", onOff(u.Disabled)}, {"created", u.Created.Local().Format(time.DateTime)}, {"policies", strings.Join(u.Policies, ", ")},
		}
		for i := range u.Keys {
			k := &u.Keys[i]
			text := k.AccessKey + ", " + onOff(k.Disabled)
			if k.Expires != nil {
				text += ", until " + k.Expires.Local().Format(time.DateTime)
			}
			rows = append(rows, []string{"key", text})
		}
		WriteTable(w, nil, rows)
	})
}

func onOff(disabled bool) string {
	if disabled {
		return "disabled"
	}
	return "enabled"
}

// showCreated writes a new pair of keys.
func (s *Session) showCreated(c *accounts.Created) error {
	err := s.Out.Document(c, func(w io.Writer) {
		WriteTable(w, nil, [][]string{{"user", c.User.Name}, {"access key", c.AccessKey}, {"secret key", c.SecretKey}})
	})
	if err == nil {
		s.Out.Note("the secret key is shown this once: nobody can show it again")
	}
	return err
}

func userChange(disabled bool) func(accounts.Client, context.Context, string) (accounts.User, error) {
	return func(c accounts.Client, ctx context.Context, name string) (accounts.User, error) {
		return c.ChangeUser(ctx, name, accounts.Change{Disabled: &disabled})
	}
}

func keyChange(disabled bool) func(accounts.Client, context.Context, string, string) (accounts.User, error) {
	return func(c accounts.Client, ctx context.Context, user, key string) (accounts.User, error) {
		return c.ChangeKey(ctx, user, key, accounts.KeyChange{Disabled: &disabled})
	}
}

// authUser is a command about one user that answers with it.
func authUser(f *frame, use, short string, do func(accounts.Client, context.Context, string) (accounts.User, error)) *cobra.Command {
	return f.client(&cobra.Command{Use: use, Short: short, Example: example("user", use), Args: cobra.ExactArgs(1)},
		func(ctx context.Context, s *Session, args []string) error {
			c, err := s.accountsClient()
			if err != nil {
				return err
			}
			u, err := do(c, ctx, args[0])
			if err != nil {
				return err
			}
			return s.showUser(&u)
		})
}

// authPair is a command about a user and something of it that answers with the user.
func authPair(f *frame, use, short string, do func(c accounts.Client, ctx context.Context, user, what string) (accounts.User, error)) *cobra.Command {
	path := "key"
	if strings.HasSuffix(use, "POLICY") {
		path = "policy"
	}
	return f.client(&cobra.Command{Use: use, Short: short, Example: example(path, use), Args: cobra.ExactArgs(2)},
		func(ctx context.Context, s *Session, args []string) error {
			c, err := s.accountsClient()
			if err != nil {
				return err
			}
			u, err := do(c, ctx, args[0], args[1])
			if err != nil {
				return err
			}
			return s.showUser(&u)
		})
}

// readSecret reads the first line of standard input.
func (s *Session) readSecret() (string, error) {
	text, err := io.ReadAll(io.LimitReader(s.Program.In, 1<<10))
	if err != nil {
		return "", err
	}
	secret, _, _ := strings.Cut(string(text), "\n")
	if secret = strings.TrimSuffix(secret, "\r"); secret == "" {
		return "", errs.E("read secret key", errs.Invalid, errors.New("standard input has no secret key"))
	}
	return secret, nil
}

func authUserCreate(f *frame) *cobra.Command {
	var n accounts.NewUser
	stdin := false
	command := f.client(&cobra.Command{
		Use:   "create NAME",
		Short: "Make a user with a pair of keys, and show its secret this once",
		Example: `  troupe auth user create ann
  troupe auth user create backup --of ann
  troupe auth user create old --key OLDKEY --secret-stdin < secret`,
		Args: cobra.ExactArgs(1),
	}, func(ctx context.Context, s *Session, args []string) error {
		n.Name = args[0]
		c, err := s.accountsClient()
		if err == nil && stdin {
			n.SecretKey, err = s.readSecret()
		}
		if err != nil {
			return err
		}
		created, err := c.CreateUser(ctx, n)
		if err != nil {
			return err
		}
		return s.showCreated(&created)
	})
	flags := command.Flags()
	flags.StringVar(&n.Of, "of", "", "the account that it is a user of; default: it is an account itself")
	flags.StringVar(&n.Display, "display", "", "the name that lists show")
	flags.StringVar(&n.Email, "email", "", "e-mail address")
	flags.StringVar(&n.ID, "id", "", "canonical id; default: made at random")
	flags.StringVar(&n.AccessKey, "key", "", "access key; default: made at random")
	flags.BoolVar(&stdin, "secret-stdin", false, "read the secret key from standard input; default: it is made at random")
	return command
}

func authUserList(f *frame) *cobra.Command {
	return f.client(&cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the users by name",
		Example: "  troupe auth user list\n  troupe auth user list --json", Args: cobra.NoArgs,
	}, func(ctx context.Context, s *Session, _ []string) error {
		c, err := s.accountsClient()
		if err != nil {
			return err
		}
		all, err := c.Users(ctx)
		if err != nil {
			return err
		}
		rows := make([][]string, len(all))
		for i := range all {
			u := &all[i]
			rows[i] = []string{u.Name, u.Of, onOff(u.Disabled), strconv.Itoa(len(u.Keys)), strings.Join(u.Policies, ","), u.Created.Local().Format(time.DateTime)}
		}
		return s.Out.Table(accounts.Users{Users: all}, []string{"NAME", "OF", "STATE", "KEYS", "POLICIES", "CREATED"}, rows)
	})
}

func authKeyCreate(f *frame) *cobra.Command {
	var n accounts.NewKey
	stdin := false
	command := f.client(&cobra.Command{
		Use: "create USER", Short: "Make another pair of keys of a user, and show its secret this once",
		Example: "  troupe auth key create ann\n  troupe auth key create ann --key OLDKEY --secret-stdin < secret", Args: cobra.ExactArgs(1),
	}, func(ctx context.Context, s *Session, args []string) error {
		c, err := s.accountsClient()
		if err == nil && stdin {
			n.SecretKey, err = s.readSecret()
		}
		if err != nil {
			return err
		}
		created, err := c.CreateKey(ctx, args[0], n)
		if err != nil {
			return err
		}
		return s.showCreated(&created)
	})
	command.Flags().StringVar(&n.AccessKey, "key", "", "access key; default: made at random")
	command.Flags().BoolVar(&stdin, "secret-stdin", false, "read the secret key from standard input; default: it is made at random")
	return command
}

func authKeyRotate(f *frame) *cobra.Command {
	overlap := 24 * time.Hour
	command := f.client(&cobra.Command{
		Use: "rotate USER KEY", Short: "Replace an access key by a new pair; the old one ends after the overlap",
		Example: "  troupe auth key rotate ann TRKA5S2LQX7MZC4DPW3N --overlap 1h", Args: cobra.ExactArgs(2),
	}, func(ctx context.Context, s *Session, args []string) error {
		if overlap < 0 || overlap > accounts.MaxOverlap*time.Second {
			return errs.E("rotate", args[1], errs.Invalid, fmt.Errorf("--overlap %s is not from 0s to %s", overlap, accounts.MaxOverlap*time.Second))
		}
		c, err := s.accountsClient()
		if err != nil {
			return err
		}
		created, err := c.CreateKey(ctx, args[0], accounts.NewKey{Replaces: args[1], Overlap: int64(overlap / time.Second)})
		if err != nil {
			return err
		}
		return s.showCreated(&created)
	})
	command.Flags().DurationVar(&overlap, "overlap", overlap, "how long the old key stays good, at most 2160h")
	return command
}

func authKeyExpire(f *frame) *cobra.Command {
	var after time.Duration
	never := false
	command := f.client(&cobra.Command{
		Use: "expire USER KEY", Short: "Set when an access key ends: now, after some time, or never",
		Example: "  troupe auth key expire ann TRKA5S2LQX7MZC4DPW3N --in 48h", Args: cobra.ExactArgs(2),
	}, func(ctx context.Context, s *Session, args []string) error {
		c, err := s.accountsClient()
		if err != nil {
			return err
		}
		end := time.Now().Add(after)
		if never {
			end = time.Time{}
		}
		u, err := c.ChangeKey(ctx, args[0], args[1], accounts.KeyChange{Expires: &end})
		if err != nil {
			return err
		}
		return s.showUser(&u)
	})
	command.Flags().DurationVar(&after, "in", 0, "how long it stays good from now on, by the clock of this computer")
	command.Flags().BoolVar(&never, "never", false, "it does not end")
	command.MarkFlagsMutuallyExclusive("in", "never")
	return command
}

func authPolicyPut(f *frame) *cobra.Command {
	return f.client(&cobra.Command{
		Use: "put NAME", Short: "Make a policy, or give it another text: that on standard input",
		Example: "  troupe auth policy put readers < readers.json", Args: cobra.ExactArgs(1),
	}, func(ctx context.Context, s *Session, args []string) error {
		text, err := io.ReadAll(io.LimitReader(s.Program.In, objects.MaxPolicyBytes+1))
		if err != nil {
			return err
		}
		if len(text) > objects.MaxPolicyBytes {
			return errs.E("put policy", args[0], errs.Invalid, fmt.Errorf("standard input has more than %d bytes", objects.MaxPolicyBytes))
		}
		c, err := s.accountsClient()
		if err != nil {
			return err
		}
		p, err := c.PutPolicy(ctx, args[0], text)
		if err != nil {
			return err
		}
		return s.showPolicy(&p)
	})
}

func authPolicyList(f *frame) *cobra.Command {
	return f.client(&cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the named policies",
		Example: "  troupe auth policy list\n  troupe auth policy list --json", Args: cobra.NoArgs,
	}, func(ctx context.Context, s *Session, _ []string) error {
		c, err := s.accountsClient()
		if err != nil {
			return err
		}
		all, err := c.Policies(ctx)
		if err != nil {
			return err
		}
		rows := make([][]string, len(all))
		for i := range all {
			rows[i] = []string{all[i].Name, strings.Join(all[i].Users, ",")}
		}
		return s.Out.Table(accounts.Policies{Policies: all}, []string{"NAME", "USERS"}, rows)
	})
}

// authPolicy is a command about one policy that answers with it.
func authPolicy(f *frame, use, short string, do func(accounts.Client, context.Context, string) (accounts.Policy, error)) *cobra.Command {
	return f.client(&cobra.Command{Use: use, Short: short, Example: strings.ReplaceAll(example("policy", use), "ann", "readers"), Args: cobra.ExactArgs(1)},
		func(ctx context.Context, s *Session, args []string) error {
			c, err := s.accountsClient()
			if err != nil {
				return err
			}
			p, err := do(c, ctx, args[0])
			if err != nil {
				return err
			}
			return s.showPolicy(&p)
		})
}

// showPolicy writes a policy.
func (s *Session) showPolicy(p *accounts.Policy) error {
	return s.Out.Document(p, func(w io.Writer) {
		WriteTable(w, nil, [][]string{{"name", p.Name}, {"users", strings.Join(p.Users, ", ")}})
		fmt.Fprintln(w)
		for line := range strings.Lines(string(p.Text)) {
			fmt.Fprintln(w, printable(strings.TrimRight(line, "\r\n")))
		}
	})
}
