package cli

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/troupe-storage/troupe/api/ais"
	"github.com/troupe-storage/troupe/objects/errs"
)

// propsCommand shows the properties of a bucket, and changes them.
func propsCommand(f *frame) *cobra.Command {
	return f.client(&cobra.Command{
		Use:   "props troupe://BUCKET [NAME=VALUE...]",
		Short: "Show the properties of a bucket, or change some",
		Long: `Show the properties of a bucket, after changing those that are given. Another number of
copies is made by a plan of the cluster, while the bucket is used: NEXT is what it makes.
` + "`troupe cluster plan`" + ` shows how far it is, and takes it back.`,
		Example: `  troupe props troupe://photos
  troupe props troupe://photos copies=3 min-copies=2
  troupe props troupe://scratch durability=relaxed etag=fast`,
		Args: cobra.MinimumNArgs(1),
	}, func(ctx context.Context, s *Session, args []string) error {
		buckets, err := parseBuckets(args[:1])
		if err != nil {
			return err
		}
		change, err := parseProps(args[1:])
		if err != nil {
			return err
		}
		control, err := s.Control()
		if err != nil {
			return err
		}
		path := "/v1/buckets/" + buckets[0]
		if len(change) > 0 {
			action := map[string]any{"action": ais.ActionSetProps, "value": map[string]any{"troupe": change}}
			if err := control.Do(ctx, http.MethodPatch, path, nil, action, nil); err != nil {
				return adviseProps(err)
			}
		}
		header, err := control.Head(ctx, path)
		if err != nil {
			return adviseProps(err)
		}
		var props ais.BucketProps
		if err := json.Unmarshal([]byte(header.Get(ais.HeaderBucketProps)), &props); err != nil {
			return errs.E("props", args[0], errs.Internal, errors.New("the answer does not have the properties of the bucket"), err)
		}
		return s.Out.Table(props.Troupe, []string{"NAME", "VALUE", "NEXT"}, propsRows(&props.Troupe))
	})
}

// adviseProps says what to do about a bucket that is not there.
func adviseProps(err error) error {
	if errs.Is(errs.NotFound, err) {
		return Advise(err, "list the buckets with `troupe ls`, or make it with `troupe mb`")
	}
	return err
}

// parseProps reads NAME=VALUE, with names as they are shown.
func parseProps(args []string) (map[string]any, error) {
	change := make(map[string]any)
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok || name == "" || value == "" {
			return nil, Usage("%q is not NAME=VALUE, for example copies=2", arg)
		}
		switch name {
		case "copies", "min-copies":
			n, err := strconv.Atoi(value)
			if err != nil {
				return nil, Usage("%q is not a number of copies", arg)
			}
			change[strings.ReplaceAll(name, "-", "_")] = n
		case "validate-warm-get":
			is, err := strconv.ParseBool(value)
			if err != nil {
				return nil, Usage("%q is neither true nor false", arg)
			}
			change["validate_warm_get"] = is
		case "durability", "etag", "reads":
			change[name] = value
		default:
			return nil, Usage("%q is no property that can be changed; there are copies, min-copies, durability, etag, reads and validate-warm-get", name)
		}
	}
	return change, nil
}

func propsRows(p *ais.TroupeProps) [][]string {
	next := func(n int) string {
		if p.NextCopies == 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	return [][]string{
		{"copies", strconv.Itoa(p.Copies), next(p.NextCopies)}, {"min-copies", strconv.Itoa(p.MinCopies), next(p.NextMinCopies)},
		{"durability", printable(p.Durability), ""}, {"etag", printable(p.ETag), ""}, {"reads", printable(p.Reads), ""},
		{"validate-warm-get", strconv.FormatBool(p.ValidateWarmGet), ""},
	}
}
