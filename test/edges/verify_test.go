package edges_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/test/process"
	"github.com/troupe-storage/troupe/test/s3client"
)

// What passes through memory because it has to be encrypted is compared with its
// checksum: an object that is not what was stored is cut off over HTTPS, whole or
// in parts, where the kernel would send it as it is.
func TestWholeReadsOverTLSAreVerified(t *testing.T) {
	authority, files := process.AuthorityForTest(t)
	node := start(t, process.Config{TLS: &files, Args: []string{"--tls-listener", "native", "--min-part", "1"}})
	plain := s3client.New(node.S3, process.Keys())
	defer plain.Close()
	secure := s3client.NewTLS(node.Native, process.Keys(), authority.Client())
	defer secure.Close()
	if err := plain.CreateBucket(t.Context(), "bucket"); err != nil {
		t.Fatal(err)
	}
	const size = 3<<20 + 17
	body := content(size)
	answer, err := plain.Put(t.Context(), "bucket", "large", body)
	must(t, "put", answer, err)
	upload, created, err := plain.CreateUpload(t.Context(), "bucket", "parts")
	must(t, "create upload", created, err)
	part, err := plain.PutPart(t.Context(), "bucket", "parts", upload, 1, body)
	must(t, "part", part, err)
	completed, err := plain.Complete(t.Context(), "bucket", "parts", upload, []s3client.Part{{Number: 1, ETag: part.ETag()}})
	must(t, "complete", completed, err)

	read := func(c *s3client.Client, prefix, key string, header ...objects.Pair) ([]byte, error) {
		t.Helper()
		response, err := c.Send(t.Context(), s3client.Request{Method: "GET", Path: prefix + "/bucket/" + key, Header: header})
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if response.StatusCode >= 300 {
			t.Fatalf("%s: %s", key, response.Status)
		}
		return io.ReadAll(response.Body)
	}
	for _, key := range []string{"large", "parts"} {
		if got, err := read(secure, "/s3", key); err != nil || string(got) != string(body) {
			t.Errorf("%s: %d bytes, %v", key, len(got), err)
		}
		if got, err := read(secure, "/s3", key, objects.Pair{Name: "Range", Value: "bytes=1000-2000999"}); err != nil || string(got) != string(body[1000:2001000]) {
			t.Errorf("range of %s: %d bytes, %v", key, len(got), err)
		}
	}
	damaged := 0
	err = filepath.WalkDir(node.Mountpaths[0], func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil || info.Size() != size {
			return err
		}
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		damaged++
		_, err = file.WriteAt([]byte{body[1<<20] + 1}, 1<<20)
		return errors.Join(err, file.Close())
	})
	if err != nil || damaged != 2 {
		t.Fatalf("%d files damaged, %v", damaged, err)
	}
	for _, key := range []string{"large", "parts"} {
		if got, err := read(secure, "/s3", key); err == nil || len(got) >= size {
			t.Errorf("%s: %d bytes of %d, %v", key, len(got), size, err)
		}
		// Negative control: what is wrong is in the file, and nothing else cuts it off.
		if got, err := read(plain, "", key); err != nil || len(got) != size || got[1<<20] == body[1<<20] {
			t.Errorf("%s over plain HTTP: %d bytes, %v", key, len(got), err)
		}
	}
	if err := node.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
