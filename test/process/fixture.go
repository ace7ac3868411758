package process

import (
	"testing"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/test/s3client"
)

// ForTest starts a node that lives as long as a test: the binary that Main built
// where config has none, and a directory of the test's own likewise. A node that the
// test has not ended is killed at its end, also after a panic; the log of one whose
// test failed is told.
func ForTest(t testing.TB, config Config) *Node {
	t.Helper()
	if config.Binary == "" {
		config.Binary = Built()
	}
	if config.Dir == "" {
		config.Dir = t.TempDir()
	}
	node, err := Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := node.Kill(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(node.Log())
		}
	})
	return node
}

// Keys is the root pair of every node that this package starts.
func Keys() sigv4.Credentials {
	return sigv4.Credentials{AccessKey: AccessKey, SecretKey: SecretKey}
}

// ClientForTest returns a client of a node's S3 listener with the root pair, closed at
// the end of the test, for whom the buckets are made.
func ClientForTest(t testing.TB, n *Node, buckets ...string) *s3client.Client {
	t.Helper()
	client := s3client.New(n.S3, Keys())
	t.Cleanup(client.Close)
	for _, bucket := range buckets {
		if err := client.CreateBucket(t.Context(), bucket); err != nil {
			t.Fatal(err)
		}
	}
	return client
}

// AuthorityForTest makes an authority and a certificate that it issued, in a
// directory of the test's own.
func AuthorityForTest(t testing.TB) (*Authority, Files) {
	t.Helper()
	authority, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	files, err := authority.Issue(t.TempDir(), 2)
	if err != nil {
		t.Fatal(err)
	}
	return authority, files
}
