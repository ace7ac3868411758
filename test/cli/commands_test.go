package cli

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
)

// Every command does what its help says, and its JSON has the fields that
// docs/cli.md names and no others.
func TestCommands(t *testing.T) {
	c := start(t)
	type bucket struct {
		Op, Bucket string
		Existed    bool
		Objects    int
	}
	if b := document[bucket](t, c.want(0, "mb", "--json", "troupe://photos").out); b.Op != "make" || b.Bucket != "photos" {
		t.Errorf("mb: %+v", b)
	}
	c.want(0, "mb", "--ignore-existing", "photos")
	type properties struct {
		Durability, ETag, Reads string
		ValidateWarmGet         bool   `json:"validate_warm_get"`
		S3Versioning            string `json:"s3_versioning"`
		Copies                  int
		MinCopies               int `json:"min_copies"`
	}
	if p := document[properties](t, c.want(0, "props", "--json", "photos", "validate-warm-get=true", "reads=relaxed").out); p != (properties{"synced", "md5", "relaxed", true, "", 1, 1}) {
		t.Errorf("props: %+v", p)
	}
	contains(t, c.want(0, "props", "troupe://photos").out, "NEXT", "min-copies", "relaxed")
	contains(t, c.want(2, "props", "troupe://photos", "copies=two").err, "not a number of copies")
	contains(t, c.want(2, "props", "troupe://photos", "colour=red").err, "no property", "copies, min-copies")
	contains(t, c.want(1, "props", "troupe://photos", "copies=0").err, "copies 0 is not from 1 to 16")
	contains(t, c.want(1, "props", "troupe://photos", "copies=2").err, "this node is alone")
	contains(t, c.want(3, "props", "troupe://nothing").err, "troupe mb")
	contains(t, c.want(3, "props", "troupe://nothing", "reads=relaxed").err, "troupe mb")
	type bucketLine struct {
		Bucket  string
		Created time.Time
	}
	if l := lines[bucketLine](t, c.want(0, "ls", "--json").out); len(l) != 1 || l[0].Bucket != "photos" || l[0].Created.IsZero() {
		t.Errorf("ls: %+v", l)
	}

	c.write("album/cat.txt", []byte("meow"))
	c.write("album/2026/dog & <cat>.json", []byte("{}"))
	c.write("album/zero", nil)
	if err := os.MkdirAll(filepath.Join(c.dir, "album", "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	up := c.want(0, "cp", "-r", "--json", "--directories", "--metadata", "Who=me", "--tag", "colour=light blue", "album", "troupe://photos/a")
	if s := last(t, up.out); s.Done != 4 || s.Bytes != 6 || s.Failed+s.Left+s.Skipped != 0 {
		t.Errorf("cp -r: %+v", s)
	}
	for _, l := range lines[transfer](t, up.out) {
		if l.Op == "upload" && (l.Status != "done" || l.ETag == "" || !strings.Contains(l.Receipt, "class=synced")) {
			t.Errorf("cp -r: %+v", l)
		}
	}

	type listed struct {
		Bucket, Key, Prefix, ETag string
		Size, Bytes               int64
		Objects                   int
		Modified                  time.Time
	}
	var keys []string
	for _, l := range lines[listed](t, c.want(0, "ls", "--json", "-r", "troupe://photos").out) {
		keys = append(keys, l.Key)
	}
	if want := []string{"a/2026/dog & <cat>.json", "a/cat.txt", "a/empty/", "a/zero"}; !slices.Equal(keys, want) {
		t.Errorf("ls -r: %q, want %q", keys, want)
	}
	one := lines[listed](t, c.want(0, "ls", "--json", "--summarize", "troupe://photos/a/").out)
	if len(one) != 5 || one[0].Prefix != "a/2026/" || one[4].Objects != 2 || one[4].Bytes != 4 {
		t.Errorf("ls: %+v", one)
	}
	type usage struct {
		Bucket, Prefix string
		Objects        int
		Bytes          int64
	}
	du := lines[usage](t, c.want(0, "du", "--json", "--depth", "2", "troupe://photos").out)
	if fmt.Sprint(du) != "[{photos a/2026/ 1 2} {photos a/empty/ 1 0} {photos a/ 4 6} {photos  4 6}]" {
		t.Errorf("du: %v", du)
	}
	type stat struct {
		Bucket, Key, ETag, Receipt         string
		VersionID                          string `json:"version_id"`
		Size                               int64
		Modified                           time.Time
		ContentType                        string `json:"content_type"`
		Metadata, Tags, Checksums, Headers map[string]string
	}
	s := document[stat](t, c.want(0, "stat", "--json", "troupe://photos/a/2026/dog & <cat>.json").out)
	if s.Size != 2 || s.ContentType != "application/json" || s.Metadata["who"] != "me" || s.Tags["colour"] != "light blue" || s.Checksums["CRC64NVME"] == "" {
		t.Errorf("stat: %+v", s)
	}
	contains(t, c.want(0, "stat", "troupe://photos/a/cat.txt").out, "text/plain", "checksum CRC64NVME", "metadata who")

	if out := c.want(0, "cat", "troupe://photos/a/cat.txt", "troupe://photos/a/cat.txt").out; out != "meowmeow" {
		t.Errorf("cat: %q", out)
	}
	if out := c.want(0, "cat", "--range", "-2", "troupe://photos/a/cat.txt").out; out != "ow" {
		t.Errorf("cat --range: %q", out)
	}

	c.want(0, "cp", "troupe://photos/a/cat.txt", "troupe://photos/b/")
	c.want(0, "mv", "troupe://photos/b/cat.txt", "tom.txt")
	if string(c.read("tom.txt")) != "meow" {
		t.Error("mv changed the content")
	}
	c.want(3, "stat", "troupe://photos/b/cat.txt")
	c.want(0, "mv", "tom.txt", "troupe://photos/c/tom.txt")
	if _, err := os.Stat(filepath.Join(c.dir, "tom.txt")); !os.IsNotExist(err) {
		t.Errorf("mv left its source: %v", err)
	}
	c.want(0, "cp", "-r", "troupe://photos/a", "back")
	if got := c.names("back"); !slices.Equal(got, []string{"2026/", "2026/dog & <cat>.json", "cat.txt", "empty/", "zero"}) {
		t.Errorf("cp -r back: %q", got)
	}

	type presigned struct {
		URL, Method string
		Expires     time.Time
	}
	url := document[presigned](t, c.want(0, "presign", "--json", "-X", "PUT", "troupe://photos/by/url").out)
	request, err := http.NewRequestWithContext(t.Context(), url.Method, url.URL, strings.NewReader("sent"))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil || answer.StatusCode != 200 {
		t.Fatalf("%v %+v", err, answer)
	}
	answer.Body.Close() //nolint:errcheck // nothing in it
	if got := string(c.object("photos", "by/url")); got != "sent" {
		t.Errorf("presign PUT: %q", got)
	}

	type removed struct{ Op, Bucket, Key, Status, Error string }
	dry := lines[removed](t, c.want(0, "rm", "-r", "-n", "--json", "--exclude", "zero", "troupe://photos/a").out)
	if len(dry) != 3 || dry[0].Status != "planned" {
		t.Errorf("rm -n: %+v", dry)
	}
	contains(t, c.want(1, "rb", "photos").err, "BucketNotEmpty", "--force")
	gone := lines[removed](t, c.want(0, "rm", "--json", "troupe://photos/by/url", "troupe://photos/never/was").out)
	if len(gone) != 2 || gone[1].Status != "done" {
		t.Errorf("rm: %+v", gone)
	}
	if b := document[bucket](t, c.want(0, "rb", "--force", "--json", "photos").out); b.Objects != 5 {
		t.Errorf("rb --force: %+v", b)
	}
	if out := c.want(0, "ls").out; out != "" {
		t.Errorf("ls after rb: %q", out)
	}

	// S3 stands under /s3 of the native listener too, and the native API beside it.
	c.want(0, "mb", "under")
	c.put("under", "k", []byte("x"))
	if out := c.want(0, "cat", "--endpoint", "http://"+c.node.Native+"/s3", "troupe://under/k").out; out != "x" {
		t.Errorf("under /s3: %q", out)
	}
	type version struct{ Client, Go, Server, Endpoint, Unreachable string }
	if v := document[version](t, c.want(0, "version", "--json").out); v.Client == "" || v.Server == "" {
		t.Errorf("version: %+v", v)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if out := c.want(0, "completion", shell).out; !strings.Contains(out, "troupe") {
			t.Errorf("completion %s: %q", shell, out)
		}
	}
}

// Scripts can tell what happened by the exit code, people by what they are told to do.
func TestExitCodes(t *testing.T) {
	c := start(t)
	c.want(0, "mb", "bucket")
	c.write("file", []byte("x"))
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	for _, one := range []struct {
		code  int
		words string // in what is said
		args  string
	}{
		{2, "unknown command", "nonsense"},
		{2, "did you mean `troupe ls`?", "lss"},
		{2, "unknown command \"nonsense\" for \"troupe storage\"", "storage nonsense"},
		{2, "did you mean `troupe storage list`?", "storage lst"},
		{2, "unknown flag", "ls --nonsense"},
		{2, "--help", "cp file"},
		{2, "both local", "cp file other"},
		{2, "begin with troupe://", "ls s3://bucket"},
		{2, "names a bucket", "rm troupe://bucket"},
		{2, "--parallel is 1 to 128", "cp --parallel 0 file troupe://bucket"},
		{2, "--part-size", "cp --part-size 1KiB file troupe://bucket"},
		{2, "no profile", "ls --profile nonsense"},
		{2, "belong together", "ls --access-key me"},
		{2, "one stream", "cp -r - troupe://bucket/x"},
		{2, "within one another", "sync troupe://bucket/a troupe://bucket/a/b"},
		{2, "--expires", "presign --expires 200h troupe://bucket/x"},
		{2, "--range", "cat --range 5 troupe://bucket/x"},
		{2, "--range", "cat --range 5-1 troupe://bucket/x"},
		{2, "no directory is given", "serve"},
		{1, "--ignore-existing", "mb troupe://bucket"},
		{1, "add that to --endpoint", "ls --endpoint http://" + c.node.Native},
		{3, "NoSuchBucket", "ls troupe://nowhere"},
		{3, "troupe ls", "stat troupe://bucket/nothing"},
		{3, "NoSuchKey", "cat troupe://bucket/nothing"},
		{3, "no key begins", "ls troupe://bucket/nothing"},
		{3, "check the path", "cp nothing troupe://bucket"},
		{3, "nothing lies below", "cp -r troupe://bucket/nothing there"},
		{3, "NoSuchBucket", "cp file troupe://nowhere/"},
		{4, "InvalidAccessKeyId", "ls --access-key me --secret-key secret-secret"},
		{4, "SignatureDoesNotMatch", "ls --access-key troupe --secret-key wrong-secret"},
		{5, "1 of 2 failed", "cp file nothing troupe://bucket/"},
		{6, "nobody listens there", "ls --endpoint " + nobody},
		{6, "is --native or TROUPE_NATIVE_ENDPOINT its address", "storage list --native " + nobody},
		{3, "the address of the native one", "storage list --native " + c.node.S3},
		{3, "troupe storage list", "storage disable nonsense"},
		{1, "is a directory", "cp --json=false . troupe://bucket"},
	} {
		s := c.run(nil, strings.Fields(one.args)...)
		if s.code != one.code || !strings.Contains(s.err, one.words) || s.out != "" && one.code != 5 {
			t.Errorf("troupe %s: exit code %d, want %d, with %q\n%s%s", one.args, s.code, one.code, one.words, s.out, s.err)
		}
	}
	// What is no client's error is given no advice about servers.
	s := c.run(nil, "storage", "check", "--data", c.node.Mountpaths[0])
	if s.code != 2 || !strings.Contains(s.err, "stop the node first") || strings.Contains(s.err, "the server") {
		t.Errorf("a check of what a node has open: exit code %d\n%s%s", s.code, s.out, s.err)
	}
	// With --json the error is a document on standard error, and says the same.
	f := document[failure](t, c.want(3, "stat", "--json", "troupe://bucket/nothing").err)
	if f.Error.Exit != 3 || f.Error.Kind != "not found" || f.Error.Advice == "" {
		t.Errorf("%+v", f)
	}
}

// Keys come from where the user says, the nearer source first.
func TestProfiles(t *testing.T) {
	c := start(t)
	c.write(".aws/credentials", []byte("[default]\naws_access_key_id = wrong\naws_secret_access_key = wrong-secret\n\n# mine\n[good]\naws_access_key_id=troupe\naws_secret_access_key=troupe-secret\n"))
	c.write(".aws/config", []byte("[profile good]\nregion = eu-north-1\ns3 =\n  max_concurrent_requests = 20\n[profile elsewhere]\nrole_arn = arn:aws:iam::1:role/x\n[profile here]\nendpoint_url = http://"+c.endpoint+"\naws_access_key_id=troupe\naws_secret_access_key=troupe-secret\n"))
	contains(t, c.want(4, "ls").err, "the key wrong from the profile default")
	c.want(0, "ls", "--profile", "good")
	contains(t, c.want(2, "ls", "--profile", "elsewhere").err, "role_arn", "export-credentials")
	c.endpoint = ""
	c.want(0, "ls", "--profile", "here")
}

// A stream of any length goes in and out as it is; what is cut short is no object.
func TestStreams(t *testing.T) {
	c := start(t)
	c.want(0, "mb", "bucket")
	for _, size := range []int{0, 1, 5 << 20, 5<<20 + 1, 23 << 20} {
		content := noise(uint64(size), size)
		if s := c.run(bytes.NewReader(content), "cp", "--part-size", "5MiB", "-", "troupe://bucket/stream"); s.code != 0 {
			t.Fatalf("%d bytes: %+v", size, s)
		}
		for _, args := range [][]string{{"cp", "troupe://bucket/stream", "-"}, {"cat", "troupe://bucket/stream"}} {
			if out := c.want(0, args...).out; out != string(content) {
				t.Errorf("%d bytes came back as %d, or others", size, len(out))
			}
		}
	}
	uploads, err := c.client.Uploads(t.Context(), "bucket")
	if err != nil || len(uploads) != 0 {
		t.Errorf("uploads are left: %v %v", uploads, err)
	}
}

// What does not have the checksum that was stored is not kept. The first byte
// of a body to be flipped is beyond the head of every answer.
func TestCorruptionOnTheWay(t *testing.T) {
	for _, size := range []int{1 << 20, 12 << 20} { // whole, and in parts
		for _, a := range append(checksum.Algorithms(), checksum.None) { // None: the node's own choice
			corruption(t, size, a)
		}
	}
}

func corruption(t *testing.T, size int, a checksum.Algorithm) {
	t.Run(fmt.Sprint(size, a), func(t *testing.T) {
		c := start(t)
		c.want(0, "mb", "bucket")
		var header []objects.Pair
		if a != checksum.None {
			h := a.New()
			h.Write(noise(7, size))
			header = []objects.Pair{{Name: a.Header(), Value: checksum.Of(a, h).String()}}
		}
		answer, err := c.client.Put(t.Context(), "bucket", "k", noise(7, size), header...)
		if err != nil || !answer.OK() {
			t.Fatal(err, answer)
		}
		gate := c.gated(1 << 40)
		gate.Flip = 600 << 10
		s := c.want(1, "cp", "--threshold", "5MiB", "--part-size", "5MiB", "troupe://bucket/k", "there/k")
		contains(t, s.err, "checksum")
		if left := c.names("there"); slices.ContainsFunc(left, func(n string) bool { return !strings.HasPrefix(n, ".troupe-") }) {
			t.Errorf("%d bytes: %q was kept", size, left)
		}
		// Negative control: without the flip, which is spent, it arrives.
		c.want(0, "cp", "--threshold", "5MiB", "--part-size", "5MiB", "troupe://bucket/k", "there/k")
		if !bytes.Equal(c.read("there/k"), noise(7, size)) || len(c.names("there")) != 1 {
			t.Errorf("%d bytes: what arrived differs, or is not alone: %q", size, c.names("there"))
		}
	})
}
