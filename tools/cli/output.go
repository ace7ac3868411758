package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/tools/terminal"
)

// Output is where a command's answer goes: to people, or as JSON to programs. Safe for
// concurrent use; what one call writes stays together.
type Output struct {
	// JSON says that --json was given.
	JSON bool

	quiet bool
	out   io.Writer // standard output
	note  io.Writer // standard error

	mutex sync.Mutex
	above func(text string) // prints above progress bars; nil: there are none
	told  time.Time         // when a repeated request was last told of
	err   error             // the first failure to write
}

func newOutput(p Program, asJSON, quiet bool) *Output {
	return &Output{JSON: asJSON, quiet: quiet, out: p.Out, note: p.Err}
}

// Document answers with one document: value as indented JSON with --json, else
// what human writes. human may be nil for a command that says nothing to people.
func (o *Output) Document(value any, human func(w io.Writer)) error {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if o.JSON {
		body, err := encode(value, "  ")
		if err != nil {
			return errs.E("output", errs.Internal, err)
		}
		o.write(o.out, body+"\n")
		return o.err
	}
	if human != nil {
		var b strings.Builder
		human(&b)
		o.write(o.out, b.String())
	}
	return o.err
}

// Line answers with one of many: value as a line of JSON with --json, else text.
func (o *Output) Line(value any, text string) error {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if o.JSON {
		body, err := encode(value, "")
		if err != nil {
			return errs.E("output", errs.Internal, err)
		}
		text = body
	}
	o.write(o.out, text+"\n")
	return o.err
}

// encode writes JSON as it is read best: "&" stays "&".
func encode(value any, indent string) (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	err := e.Encode(value)
	return strings.TrimSuffix(b.String(), "\n"), err
}

// Table answers with one document that is a table to people: a heading, and a
// row per line with its columns. With --json it is value. On a terminal columns in
// which nothing stands are left out, and rows that have no room in a line are
// written as lines of a name and a value each.
func (o *Output) Table(value any, heading []string, rows [][]string) error {
	return o.Document(value, func(w io.Writer) { writeFitting(w, heading, rows, terminalSize(o.out).width) })
}

// writeFitting writes a table to a terminal of a width; 0: there is none.
func writeFitting(w io.Writer, heading []string, rows [][]string, width int) {
	if width == 0 || len(rows) == 0 {
		WriteTable(w, heading, rows)
		return
	}
	heading, rows = withoutEmpty(heading, rows)
	var table strings.Builder
	WriteTable(&table, heading, rows)
	for line := range strings.Lines(table.String()) {
		if utf8.RuneCountInString(strings.TrimRight(line, " \n")) > width {
			writeBlocks(w, heading, rows)
			return
		}
	}
	io.WriteString(w, table.String()) //nolint:errcheck // a strings.Builder takes everything
}

// withoutEmpty leaves out columns in which nothing stands.
func withoutEmpty(heading []string, rows [][]string) (kept []string, cells [][]string) {
	cells = make([][]string, len(rows))
	for column, name := range heading {
		if !slices.ContainsFunc(rows, func(row []string) bool { return row[column] != "" }) {
			continue
		}
		kept = append(kept, name)
		for i, row := range rows {
			cells[i] = append(cells[i], row[column])
		}
	}
	return kept, cells
}

// writeBlocks writes a row as lines of a name and a value, with an empty line
// between rows.
func writeBlocks(w io.Writer, heading []string, rows [][]string) {
	for i, row := range rows {
		if i > 0 {
			fmt.Fprintln(w)
		}
		var lines [][]string
		for column, cell := range row {
			if cell != "" {
				lines = append(lines, []string{strings.ToLower(heading[column]), cell})
			}
		}
		WriteTable(w, nil, lines)
	}
}

// WriteTable writes columns that line up; an empty heading is left out.
func WriteTable(w io.Writer, heading []string, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(heading) > 0 {
		fmt.Fprintln(t, strings.Join(heading, "\t"))
	}
	for _, row := range rows {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	t.Flush() //nolint:errcheck // a strings.Builder takes everything
}

// Note tells people something on standard error, unless --quiet.
func (o *Output) Note(format string, args ...any) {
	if !o.quiet {
		o.Warn(format, args...)
	}
}

// Warn tells people something on standard error, in any case.
func (o *Output) Warn(format string, args ...any) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	text := terminal.Fold(fmt.Sprintf(format, args...), 0, terminalSize(o.note).width)
	if o.above != nil {
		o.above(text)
		return
	}
	fmt.Fprintln(o.note, text)
}

// repeated is told of every attempt that is made again; it says so once a
// while, since many requests fail together.
func (o *Output) repeated(err error, pause time.Duration) {
	const every = 5 * time.Second
	o.mutex.Lock()
	due := !o.JSON && pause >= time.Second && time.Since(o.told) >= every // with --json only errors go there
	if due {
		o.told = time.Now()
	}
	o.mutex.Unlock()
	if due {
		o.Note("troupe: trying again in %s: %v", pause.Round(100*time.Millisecond), printable(err.Error()))
	}
}

// write remembers the first failure; the caller holds the mutex.
func (o *Output) write(w io.Writer, text string) {
	if o.err != nil {
		return
	}
	if w == o.out && o.above != nil && o.sameTerminal() {
		o.above(strings.TrimSuffix(text, "\n"))
		return
	}
	if _, err := io.WriteString(w, text); err != nil {
		o.err = errs.E("output", "standard output", errs.IO, err)
	}
}

// errorDocument is an error as JSON.
type errorDocument struct {
	Error struct {
		Message string `json:"message"`
		Kind    string `json:"kind"`
		Code    string `json:"code,omitempty"` // S3's
		Advice  string `json:"advice,omitempty"`
		Exit    int    `json:"exit"`
	} `json:"error"`
}

// printable makes a text safe to show: control characters are escaped, so that
// no name in it can move the cursor.
func printable(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' || r == '\u202e' {
			fmt.Fprintf(&b, "\\x%02x", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
