package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/troupe-storage/troupe/api/s3"
	"github.com/troupe-storage/troupe/objects/errs"
)

// listed is a JSON line of ls: an object, a prefix, or with --summarize the end.
type listed struct {
	Bucket   string     `json:"bucket,omitempty"`
	Key      string     `json:"key,omitempty"`
	Prefix   string     `json:"prefix,omitempty"` // instead of Key: what lies below it is not listed
	Size     *int64     `json:"size,omitempty"`
	Modified *time.Time `json:"modified,omitempty"`
	ETag     string     `json:"etag,omitempty"`

	Objects *int   `json:"objects,omitempty"` // of the last line of --summarize
	Bytes   *int64 `json:"bytes,omitempty"`
}

// errNothing says that a listing was empty.
func errNothing(a address) error {
	return Advise(errs.E("list", a.String(), errs.NotFound, fmt.Errorf("no key begins with %q", a.key)),
		"keys are compared from their beginning, a directory ends with a slash")
}

func listCommand(f *frame) *cobra.Command {
	var recursive, human, summarize, uploads bool
	command := f.client(&cobra.Command{
		Use:   "ls [troupe://BUCKET[/PREFIX]...]",
		Short: "List buckets, or the objects of one",
		Long: `List buckets, or the objects whose keys begin with PREFIX, up to the next slash.
What lies beyond it is shown as a prefix, or listed too with --recursive. A prefix that no
key begins with is an error (exit code 3).

With --uploads, uploads in parts that have begun and not ended, of all keys that begin with
PREFIX: they take room until they are completed, or aborted (troupe rm --uploads).`,
		Example: `  troupe ls
  troupe ls --human troupe://photos/2026/
  troupe ls --recursive --json troupe://photos | jq -r .key
  troupe ls --human --uploads troupe://photos`,
	}, func(ctx context.Context, s *Session, args []string) error {
		c, err := s.S3()
		if err != nil {
			return err
		}
		if len(args) == 0 {
			args = []string{scheme}
		}
		var all []address
		for _, text := range args {
			a, err := parseAddress(text)
			if err == nil && !a.remote {
				err = Usage("%q is no remote address: %sBUCKET/PREFIX", text, scheme)
			}
			if err != nil {
				return err
			}
			all = append(all, a)
		}
		for _, a := range all {
			switch {
			case a.bucket == "" && uploads:
				return Usage("--uploads needs a bucket: troupe://BUCKET[/PREFIX]")
			case a.bucket == "":
				err = listBuckets(ctx, s, c)
			case uploads:
				err = listUploads(ctx, s, c, a, human)
			default:
				err = listObjects(ctx, s, c, a, recursive, human, summarize)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	flags := command.Flags()
	flags.BoolVarP(&recursive, "recursive", "r", false, "every object, whatever slashes its key has")
	flags.BoolVarP(&human, "human", "H", false, "sizes in KiB, MiB, GiB")
	flags.BoolVar(&uploads, "uploads", false, "uploads in parts that have not ended, instead of objects")
	flags.BoolVar(&summarize, "summarize", false, "end with the number of objects and bytes")
	return command
}

func listBuckets(ctx context.Context, s *Session, c s3.Client) error {
	buckets, err := c.Buckets(ctx)
	if err != nil {
		return err
	}
	for _, b := range buckets {
		if err := s.Out.Line(b, instant(b.Created)+"  "+s3.Address(b.Name, "")); err != nil {
			return err
		}
	}
	return nil
}

func listObjects(ctx context.Context, s *Session, c s3.Client, a address, recursive, human, summarize bool) error {
	l := s3.Listing{Bucket: a.bucket, Prefix: a.key, Delimiter: "/"}
	if recursive {
		l.Delimiter = ""
	}
	entries, objects, bytes := 0, 0, int64(0)
	for e, err := range c.Walk(ctx, l) {
		if err != nil {
			return err
		}
		entries++
		line := listed{Bucket: a.bucket}
		text := ""
		if e.IsPrefix {
			line.Prefix = e.Key
			text = fmt.Sprintf("%19s %12s  %s", "", "PREFIX", e.Key)
		} else {
			line.Key, line.Size, line.Modified, line.ETag = e.Key, &e.Size, &e.Modified, e.ETag
			text = fmt.Sprintf("%s %12s  %s", instant(e.Modified), size(e.Size, human), e.Key)
			objects++
			bytes += e.Size
		}
		if err := s.Out.Line(line, printable(text)); err != nil {
			return err
		}
	}
	if entries == 0 && a.key != "" {
		return errNothing(a)
	}
	if summarize {
		return s.Out.Line(listed{Bucket: a.bucket, Objects: &objects, Bytes: &bytes}, fmt.Sprintf("%s, %s bytes", count(objects, "object"), size(bytes, human)))
	}
	return nil
}

// usage is a JSON line of du.
type usage struct {
	Bucket  string `json:"bucket"`
	Prefix  string `json:"prefix"`
	Objects int    `json:"objects"`
	Bytes   int64  `json:"bytes"`
}

func usageCommand(f *frame) *cobra.Command {
	var human bool
	var depth int
	command := f.client(&cobra.Command{
		Use:   "du troupe://BUCKET[/PREFIX]...",
		Short: "Add up what objects hold, by prefix",
		Example: `  troupe du troupe://photos
  troupe du --human --depth 2 troupe://photos/2026/`,
		Args: cobra.MinimumNArgs(1),
	}, func(ctx context.Context, s *Session, args []string) error {
		if depth < 0 {
			return Usage("--depth is 0 or more, not %d", depth)
		}
		c, err := s.S3()
		if err != nil {
			return err
		}
		for _, text := range args {
			a, err := parseRemote(text)
			if err == nil {
				err = addUp(ctx, s, c, a, depth, human)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	command.Flags().BoolVarP(&human, "human", "H", false, "sizes in KiB, MiB, GiB")
	command.Flags().IntVarP(&depth, "depth", "d", 0, "show prefixes down to this many slashes below PREFIX")
	return command
}

// addUp walks a prefix. Keys come in order, so a prefix is told as soon as a key
// outside of it comes, and only those above the current key are held.
func addUp(ctx context.Context, s *Session, c s3.Client, a address, depth int, human bool) error {
	tell := func(u usage) error {
		return s.Out.Line(u, printable(fmt.Sprintf("%12s %9d  %s", size(u.Bytes, human), u.Objects, s3.Address(u.Bucket, u.Prefix))))
	}
	open := []usage{{Bucket: a.bucket, Prefix: a.key}} // each below the one before
	for e, err := range c.Walk(ctx, s3.Listing{Bucket: a.bucket, Prefix: a.key}) {
		if err != nil {
			return err
		}
		prefixes := prefixesOf(e.Key, a.key, depth)
		for len(open) > 1 && (len(open)-1 > len(prefixes) || open[len(open)-1].Prefix != prefixes[len(open)-2]) {
			if err := tell(open[len(open)-1]); err != nil {
				return err
			}
			open = open[:len(open)-1]
		}
		for _, p := range prefixes[len(open)-1:] {
			open = append(open, usage{Bucket: a.bucket, Prefix: p})
		}
		for i := range open {
			open[i].Objects++
			open[i].Bytes += e.Size
		}
	}
	if open[0].Objects == 0 && a.key != "" {
		return errNothing(a)
	}
	for i := len(open) - 1; i >= 0; i-- {
		if err := tell(open[i]); err != nil {
			return err
		}
	}
	return nil
}

// prefixesOf returns the prefixes of a key that end with a slash below a prefix,
// the shortest first, at most so many.
func prefixesOf(key, prefix string, most int) []string {
	var all []string
	for i := len(prefix); i < len(key) && len(all) < most; i++ {
		if key[i] == '/' {
			all = append(all, key[:i+1])
		}
	}
	return all
}
