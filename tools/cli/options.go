package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/troupe-storage/troupe/api/s3"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/tools/loader"
)

// Sizes of transfers. Up to the threshold an object goes in one request; parts
// are large enough that a request's cost vanishes, small enough that little is
// sent twice.
const (
	defaultThreshold = 32 << 20
	defaultPartBytes = 16 << 20
	minPartBytes     = 5 << 20 // S3's least
	maxPartBytes     = 5 << 30 // S3's most
)

// transferOptions are the flags that cp, mv and sync share.
type transferOptions struct {
	parallel    int
	partBytes   int64
	threshold   int64
	dryRun      bool
	move        bool
	links       linkPolicy
	directories bool
	chosen      filter
	attributes  s3.Attributes
	plain       bool // no bars, whatever standard error is

	partText, thresholdText, linksText string
	metadata, tags                     []string
}

// add declares the flags.
func (o *transferOptions) add(f *pflag.FlagSet) {
	addParallel(f, &o.parallel)
	f.StringVar(&o.partText, "part-size", loader.FormatBytes(defaultPartBytes), "size of the parts of large objects: 5MiB to 5GiB")
	f.StringVar(&o.thresholdText, "threshold", loader.FormatBytes(defaultThreshold), "from this size on objects go in parts, and can be resumed")
	f.BoolVarP(&o.dryRun, "dry-run", "n", false, "say what would be done, and do nothing")
	f.StringVar(&o.linksText, "links", string(linksSkip), "symbolic links in directories: skip, or follow")
	f.BoolVar(&o.directories, "directories", false, "store a marker (KEY/) for every empty directory; markers become directories in any case")
	f.StringVar(&o.attributes.ContentType, "content-type", "", "content type; default: by name, else by the first bytes")
	f.StringVar(&o.attributes.CacheControl, "cache-control", "", "Cache-Control of the objects")
	f.StringVar(&o.attributes.ContentEncoding, "content-encoding", "", "Content-Encoding of the objects")
	f.StringVar(&o.attributes.ContentDisposition, "content-disposition", "", "Content-Disposition of the objects")
	f.StringArrayVar(&o.metadata, "metadata", nil, "user metadata, NAME=VALUE; may be repeated")
	f.StringArrayVar(&o.tags, "tag", nil, "tag, NAME=VALUE; may be repeated")
	o.chosen.add(f)
}

// complete reads the flags that are text.
func (o *transferOptions) complete() error {
	if err := checkParallel(o.parallel); err != nil {
		return err
	}
	var err error
	if o.partBytes, err = loader.ParseBytes(o.partText); err != nil || o.partBytes < minPartBytes || o.partBytes > maxPartBytes {
		return Usage("--part-size is 5MiB to 5GiB, not %q", o.partText)
	}
	if o.threshold, err = loader.ParseBytes(o.thresholdText); err != nil || o.threshold < minPartBytes || o.threshold > maxPartBytes {
		return Usage("--threshold is 5MiB to 5GiB, not %q", o.thresholdText)
	}
	switch o.links = linkPolicy(o.linksText); o.links {
	case linksSkip, linksFollow:
	default:
		return Usage("--links is skip or follow, not %q", o.linksText)
	}
	if o.attributes.User, err = pairs("--metadata", o.metadata); err != nil {
		return err
	}
	o.attributes.Tags, err = pairs("--tag", o.tags)
	return err
}

// pairs reads NAME=VALUE.
func pairs(flag string, texts []string) ([]objects.Pair, error) {
	var all []objects.Pair
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, Usage("%s is NAME=VALUE, not %q", flag, text)
		}
		if flag == "--metadata" {
			if bad := headerFault(name, value); bad != nil {
				return nil, Usage("%s %q: %w", flag, text, bad)
			}
			name = strings.ToLower(name)
		}
		all = append(all, objects.Pair{Name: name, Value: value})
	}
	return all, nil
}

// headerFault says why a pair cannot travel as a header.
func headerFault(name, value string) error {
	for _, c := range []byte(name) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.", c) >= 0) {
			return fmt.Errorf("a name has letters, digits, hyphens, dots and underscores")
		}
	}
	for _, c := range []byte(value) {
		if c < ' ' && c != '\t' || c >= 0x7f {
			return fmt.Errorf("a value is printable ASCII; encode other text, for example in base64")
		}
	}
	return nil
}
