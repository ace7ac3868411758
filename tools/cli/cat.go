package cli

import (
	"cmp"
	"context"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/troupe-storage/troupe/api/s3"
)

// byteRange is what --range takes: 0-99, 100-, -10.
var byteRange = regexp.MustCompile(`\A(\d+-\d*|-\d+)\z`)

func catCommand(f *frame) *cobra.Command {
	var which string
	command := f.client(&cobra.Command{
		Use:   "cat troupe://BUCKET/KEY...",
		Short: "Write objects to standard output",
		Long: `Write objects to standard output, one after the other. Whole objects are compared with the checksum that the
server stored; if they differ, the command fails after their last byte. --json is without effect on standard output.`,
		Example: `  troupe cat troupe://photos/readme.txt
  troupe cat --range 0-99 troupe://photos/film.bin | xxd
  troupe cat troupe://logs/a troupe://logs/b > both`,
		Args: cobra.MinimumNArgs(1),
	}, func(ctx context.Context, s *Session, args []string) error {
		if which != "" && !isByteRange(which) {
			return Usage("--range is FIRST-LAST, FIRST- or -COUNT, not %q", which)
		}
		o := transferOptions{parallel: 1, threshold: defaultThreshold, partBytes: defaultPartBytes, plain: true}
		t, err := newTransfers(s, o)
		if err != nil {
			return err
		}
		for _, text := range args {
			a, err := parseObject(text)
			if err != nil {
				return err
			}
			if which == "" {
				_, err = t.downloadStream(ctx, a, s.Program.Out, &meter{})
			} else {
				err = t.catRange(ctx, a, which)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	command.Flags().StringVar(&which, "range", "", "bytes to write: FIRST-LAST, FIRST-, or -COUNT for the last ones")
	return command
}

// isByteRange reports whether a text is a range whose end is not before its
// beginning: HTTP would have a server send everything.
func isByteRange(text string) bool {
	if !byteRange.MatchString(text) {
		return false
	}
	first, last, _ := strings.Cut(text, "-")
	from, err := strconv.ParseInt(cmp.Or(first, "0"), 10, 64)
	if err != nil {
		return false
	}
	to, err := strconv.ParseInt(cmp.Or(last, strconv.FormatInt(math.MaxInt64, 10)), 10, 64)
	return err == nil && (first == "" || from <= to)
}

// catRange writes a range of an object.
func (t *transfers) catRange(ctx context.Context, a address, which string) error {
	_, body, err := t.s3.Open(ctx, s3.Get{Bucket: a.bucket, Key: a.key, Range: "bytes=" + which})
	if err != nil {
		return err
	}
	defer body.Close()
	return copyCounted(t.session.Program.Out, body, &meter{})
}
