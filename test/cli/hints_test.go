package cli

import (
	"net"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/test/process"
)

// A prefix that was taken for an object is not deleted in silence: what lies below
// it is told of, with the command that deletes it. What is an object, or nothing, is
// deleted without a word, and programs that ask for JSON read no hints.
func TestRemovingAPrefix(t *testing.T) {
	c := start(t)
	c.want(0, "mb", "photos")
	for _, key := range []string{"2025/cat", "2025/dog", "2026/", "2026/cat", "single", "single.txt"} {
		c.put("photos", key, []byte("meow"))
	}
	const hint = "`troupe rm --recursive "
	for _, one := range []struct {
		args  string
		hints []string
	}{
		{"troupe://photos/2025", []string{"troupe://photos/2025/ is still there", hint + "troupe://photos/2025`"}},
		{"troupe://photos/2025/", []string{hint + "troupe://photos/2025/`"}},
		{"troupe://photos/2026/", []string{hint + "troupe://photos/2026/`"}}, // a marker goes, what is below it stays
		{"--dry-run troupe://photos/2025", []string{hint + "troupe://photos/2025`"}},
		{"troupe://photos/nothing troupe://photos/2025", []string{hint + "troupe://photos/2025`"}},
		{"troupe://photos/single", nil}, // single.txt is another one
		{"troupe://photos/never/was", nil},
		{"--json troupe://photos/2025", nil},
		{"--quiet troupe://photos/2025", nil},
		{"--recursive troupe://photos/2025", nil},
		{"troupe://photos/2025", nil}, // negative control: it is gone
	} {
		s := c.want(0, append([]string{"rm"}, strings.Fields(one.args)...)...)
		contains(t, s.err, one.hints...)
		if one.hints == nil && s.err != "" {
			t.Errorf("rm %s says %s", one.args, s.err)
		}
	}
}

// A certificate that is not accepted is not a server that is away: the exit code is
// not the one that scripts repeat at, nothing is tried again, and what to do is said.
func TestCertificates(t *testing.T) {
	_, files := process.AuthorityForTest(t)
	secured := startWith(t, process.Config{Mountpaths: 2, TLS: &files})
	_, port, err := net.SplitHostPort(secured.node.S3)
	if err != nil {
		t.Fatal(err)
	}
	secured.write("tree/a", nil)
	secured.write("tree/b", nil)
	https, trusting := "https://"+secured.node.S3, " --ca-file "+files.Authority
	plain := start(t)
	for _, one := range []struct {
		code  int
		words string
		args  string
	}{
		{0, "", "mb bucket --endpoint " + https + trusting},
		{0, "", "ls --endpoint https://localhost:" + port + trusting},
		{0, "", "ls --endpoint " + https + " --insecure"},
		{1, "--ca-file or AWS_CA_BUNDLE", "ls --endpoint " + https},
		{1, "--ca-file or AWS_CA_BUNDLE", "cp -r tree troupe://bucket/ --endpoint " + https},
		{1, "--ca-file or AWS_CA_BUNDLE", "storage list --native https://" + secured.node.Native},
		{1, "change https://", "ls --endpoint https://" + plain.node.S3},
	} {
		s := secured.run(nil, strings.Fields(one.args)...)
		if s.code != one.code || !strings.Contains(s.err, one.words) || strings.Contains(s.err, "trying again") {
			t.Errorf("troupe %s: exit code %d, want %d, with %q\n%s%s", one.args, s.code, one.code, one.words, s.out, s.err)
		}
		if n := strings.Count(s.err, one.words); one.code != 0 && n != 1 {
			t.Errorf("troupe %s says it %d times\n%s", one.args, n, s.err)
		}
	}
}
