package layout

import (
	"encoding/hex"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
)

const formatPage = "../../docs/on-disk-format.md"

// The page that people read tells the truth: every field of every message of
// record.proto is in its table, by number, name and type, and nothing else is;
// and the keys that it shows are those of the golden file.
func TestThePageIsTrue(t *testing.T) {
	content, err := os.ReadFile(formatPage)
	if err != nil {
		t.Fatal(err)
	}
	page := string(content)
	messages := recordProto(t).Messages()
	rows := regexp.MustCompile(`(?m)^\| (\d+) \| (\w+) \| ([^|]+) \|`)
	for i := range messages.Len() {
		message := messages.Get(i)
		_, section, ok := strings.Cut(page, "\n#### "+string(message.Name())+"\n")
		if !ok {
			t.Errorf("%s has no section", message.Name())
			continue
		}
		section, _, _ = strings.Cut(section, "\n#")
		var got, want []string
		for _, row := range rows.FindAllStringSubmatch(section, -1) {
			kind, _, _ := strings.Cut(row[3], ", ") // "bytes, 24" is bytes
			if strings.HasSuffix(row[3], ", repeated") {
				kind = "repeated " + kind
			}
			got = append(got, fmt.Sprint(row[1], " ", row[2], " ", kind))
		}
		for j := range message.Fields().Len() {
			want = append(want, describe(message.Fields().Get(j)))
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s: the page says\n%s\nrecord.proto says\n%s", message.Name(), strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	if n := strings.Count(page, "\n#### "); n != messages.Len() {
		t.Errorf("%d sections of %d messages", n, messages.Len())
	}

	golden, err := os.ReadFile("testdata/keys.txt")
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile(`(?m)^[ovdu]  .* ([0-9a-f]{20,})$`).FindAllStringSubmatch(page, -1)
	if len(shown) != 5 {
		t.Errorf("%d keys are shown, want 5", len(shown))
	}
	for _, key := range shown {
		if !strings.Contains(string(golden), key[1]+" ") {
			t.Errorf("the key %s is not in the golden file", key[1])
		}
	}
}

// The value that the page takes apart is the golden one, byte for byte.
func TestTheValueOnThePageIsTheGoldenOne(t *testing.T) {
	content, err := os.ReadFile(formatPage)
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(content), "One in full")
	_, example, _ = strings.Cut(example, "```\n")
	example, _, _ = strings.Cut(example, "```")
	var b []byte
	for line := range strings.Lines(example) {
		line, _, _ = strings.Cut(line, "#")
		for _, word := range strings.Fields(line) {
			if quoted, ok := strings.CutPrefix(word, `"`); ok {
				b = append(b, strings.TrimSuffix(quoted, `"`)...)
				continue
			}
			digits, err := hex.DecodeString(word)
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			b = append(b, digits...)
		}
	}
	want, err := os.ReadFile("testdata/part.hex")
	if err != nil {
		t.Fatal(err)
	}
	if got := dump(b); got != string(want) {
		t.Fatalf("the page shows\n%s\nwant\n%s", got, want)
	}
}

func describe(field protoreflect.FieldDescriptor) string {
	kind := field.Kind().String()
	if field.Message() != nil {
		kind = string(field.Message().Name())
	}
	switch {
	case field.IsList():
		kind = "repeated " + kind
	case field.HasOptionalKeyword():
		kind = "optional " + kind
	}
	return fmt.Sprint(field.Number(), " ", field.Name(), " ", kind)
}

// The directories that the page draws are those of the code.
func TestThePageHasEveryDirectory(t *testing.T) {
	content, err := os.ReadFile(formatPage)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{IndexDir, WorkDir, PartsDir, VersionsDir, SlicesDir, TrashDir, SidecarsDir, QuarantineDir, BucketsDir, DocumentsDir, FormatFile, LockFile, IndexMadeFile, RebuiltDir, RebuildFile} {
		if name := strings.TrimPrefix(p, Private+"/"); !regexp.MustCompile(`(?m)^    ` + regexp.QuoteMeta(name) + `[/ ]`).Match(content) {
			t.Errorf("%s is not drawn", p)
		}
	}
	for _, word := range []string{EscapeDir, "user." + AttributeName, "manifest.json"} {
		if !strings.Contains(string(content), word) {
			t.Errorf("%s is not mentioned", word)
		}
	}
}
