package loader

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/troupe-storage/troupe/tools/terminal"
)

// table is rows of text that are printed as a Markdown table, aligned to be read
// as it is.
type table struct {
	head []string
	keys int // the first columns, which tell rows apart; at least 1
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// sheet is where tables and what stands beside them are written to.
type sheet struct {
	io.Writer
	width int // columns of the terminal; 0: it is none, and nothing is fitted
}

// newSheet looks whether what is written to is a terminal.
func newSheet(out io.Writer) sheet { return sheet{out, terminal.SizeOf(out).Width} }

// text writes lines, folded where they do not fit.
func (p sheet) text(format string, args ...any) error {
	for line := range strings.SplitSeq(fmt.Sprintf(format, args...), "\n") {
		if _, err := io.WriteString(p, terminal.Fold(line, 0, p.width)+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// table prints a table. Where it does not fit, what is the same in all rows is said
// above it, and the other columns are printed in several tables, one below the other,
// each with the columns that tell rows apart.
func (p sheet) table(t table) error {
	t.keys = max(t.keys, 1)
	if p.width == 0 || t.width() <= p.width {
		return t.write(p)
	}
	var same []string
	for i := t.keys - 1; i > 0; i-- {
		if cell, ok := t.constant(i); ok {
			same = append(same, t.head[i]+" "+cell)
			t = t.without(i)
		}
	}
	if len(same) > 0 {
		slices.Reverse(same)
		if err := p.text("%s\n", strings.Join(same, ", ")); err != nil {
			return err
		}
	}
	for i, part := range t.parts(p.width) {
		if i > 0 {
			if _, err := io.WriteString(p, "\n"); err != nil {
				return err
			}
		}
		if err := part.write(p); err != nil {
			return err
		}
	}
	return nil
}

// constant returns what a column has in all rows; false: they differ, or it is empty.
func (t *table) constant(column int) (cell string, is bool) {
	for i, row := range t.rows {
		switch {
		case row[column] == "":
			return "", false
		case i > 0 && row[column] != cell:
			return "", false
		}
		cell = row[column]
	}
	return cell, cell != ""
}

// without returns the table without one of its key columns.
func (t *table) without(column int) table {
	cut := func(row []string) []string { return slices.Delete(slices.Clone(row), column, column+1) }
	less := table{head: cut(t.head), keys: t.keys - 1}
	for _, row := range t.rows {
		less.rows = append(less.rows, cut(row))
	}
	return less
}

// parts divides the columns behind the keys over tables of at most the width; each has
// one of them at least. What is too long for that in the first column is cut.
func (t *table) parts(width int) []table {
	widths := t.widths()
	keys, widest := 1, 0
	for i, w := range widths {
		if i < t.keys {
			keys += w + 3
		} else {
			widest = max(widest, w+3)
		}
	}
	const shortest = 8
	first := widths[0]
	if over := keys + widest - width; over > 0 {
		first = max(first-over, min(first, shortest))
		keys -= widths[0] - first
	}
	row := func(cells []string, from, to int) []string {
		line := slices.Concat(cells[:t.keys], cells[from:to])
		line[0] = cutOff(line[0], first)
		return line
	}
	var parts []table
	for from := t.keys; from < len(t.head); {
		to, used := from, keys
		for to < len(t.head) && (to == from || used+widths[to]+3 <= width) {
			used += widths[to] + 3
			to++
		}
		part := table{head: row(t.head, from, to), keys: t.keys}
		for _, cells := range t.rows {
			if part.says(cells[from:to]) {
				part.add(row(cells, from, to)...)
			}
		}
		parts = append(parts, part)
		from = to
	}
	return parts
}

// says reports whether cells have anything to say.
func (*table) says(cells []string) bool {
	return slices.ContainsFunc(cells, func(cell string) bool { return cell != "" })
}

// widths returns how wide each column is.
func (t *table) widths() []int {
	widths := make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(escapeCell(cell)), 3)
		}
	}
	return widths
}

// width returns how wide the table is.
func (t *table) width() int {
	sum := 1
	for _, width := range t.widths() {
		sum += width + 3
	}
	return sum
}

// write prints the table. The first column is aligned left, the others right.
func (t *table) write(to io.Writer) error {
	widths := t.widths()
	var out strings.Builder
	line := func(row []string) {
		for i, width := range widths {
			cell := escapeCell(row[i])
			space := strings.Repeat(" ", width-len([]rune(cell)))
			if i == 0 {
				out.WriteString("| " + cell + space + " ")
			} else {
				out.WriteString("| " + space + cell + " ")
			}
		}
		out.WriteString("|\n")
	}
	line(t.head)
	for i, width := range widths {
		if i == 0 {
			out.WriteString("|" + strings.Repeat("-", width+2))
		} else {
			out.WriteString("|" + strings.Repeat("-", width+1) + ":")
		}
	}
	out.WriteString("|\n")
	for _, row := range t.rows {
		line(row)
	}
	_, err := io.WriteString(to, out.String())
	return err
}

// escapeCell keeps a cell in its cell.
func escapeCell(cell string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "\r", " ").Replace(cell)
}
