package cli

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/troupe-storage/troupe/api"
)

// actorsView draws the tree of actors.
type actorsView struct {
	pattern  string
	endpoint string
	all      bool
	colours  bool
}

// screen is the size of a terminal in cells; 0: there is no bound.
type screen struct{ width, height int }

// narrowest is what is assumed where nobody says.
const (
	narrowest    = 80
	unknownWidth = 140
)

// A column of the tree. The widths of all but the last, which gets what is left.
const (
	stateWidth   = len("restarting")
	queuedWidth  = len("QUEUED")
	oldestWidth  = len("OLDEST")
	rateWidth    = len("MSG/S")
	restartWidth = len("RESTARTS")
	gap          = 1

	leastName, mostName = 18, 44
	// wideText is what two columns of text need beside one another; in less room
	// they share one.
	wideText = 46
)

// columns are the widths of a tree of rows on a screen.
type columns struct {
	name, current, cause int
	shared               bool // what is in hand and the last cause stand in one column
	slim                 bool // RESTARTS has a short heading
}

func (c *columns) restarts() int {
	if c.slim {
		return len("RST")
	}
	return restartWidth
}

// layOut divides the width of a screen.
func layOut(rows []actorRow, width int) columns {
	c := columns{name: leastName}
	for _, row := range rows {
		c.name = max(c.name, utf8.RuneCountInString(row.name))
	}
	c.name = min(c.name, mostName, width*2/5)
	c.slim = width < 100
	left := width - c.name - stateWidth - queuedWidth - oldestWidth - rateWidth - c.restarts() - 6*gap
	if left < wideText {
		c.shared, c.current = true, max(left, 8)
		return c
	}
	c.current = left * 2 / 5
	c.cause = left - c.current - gap
	return c
}

// draw returns the lines of the tree: a line about all, a heading, and the rows,
// no more than the screen has room for.
func (v *actorsView) draw(list []api.Actor, now time.Time, size screen) []string {
	width := size.width
	if width == 0 {
		width = unknownWidth
	}
	width = max(width, narrowest/2)
	rows := v.rows(list, now, size.height)
	c := layOut(rows, width)
	lines := []string{v.summary(list, now, width), v.paint(bold, v.heading(&c))}
	for i := range rows {
		if room := size.height - len(lines); size.height > 0 && room == 1 && i < len(rows)-1 {
			return append(lines, v.paint(dim, cut(fmt.Sprintf("… %d more lines; a PATTERN or a taller window shows them", len(rows)-i), width)))
		}
		lines = append(lines, v.line(&rows[i], &c, now))
	}
	return lines
}

// rows returns the rows of the tree: of a tree that is too tall for the screen,
// fewer.
func (v *actorsView) rows(list []api.Actor, now time.Time, height int) []actorRow {
	if v.all {
		return actorTree(list, foldNone, now)
	}
	const above = 2 // the summary and the heading
	rows := actorTree(list, foldKinds, now)
	if height > 0 && len(rows) > height-above {
		rows = actorTree(list, foldAll, now)
	}
	return rows
}

// summary is the line about all actors.
func (v *actorsView) summary(list []api.Actor, now time.Time, width int) string {
	var queued, restarts int64
	var rate float64
	suspended, abandoned := 0, 0
	for i := range list {
		queued += list[i].Queued
		restarts += list[i].Restarts
		rate += list[i].PerSecond
		abandoned += list[i].Abandoned
		if list[i].Status == "suspended" {
			suspended++
		}
	}
	text := fmt.Sprintf("%s  %s  %s", v.endpoint, now.Format(time.TimeOnly), count(len(list), "actor"))
	if suspended > 0 { // before what a narrow line has no room for
		text += fmt.Sprintf(", %d suspended", suspended)
	}
	if abandoned > 0 {
		text += fmt.Sprintf(", %d abandoned", abandoned)
	}
	text += fmt.Sprintf(": %s msg/s, %d queued, %s", rateText(rate), queued, count(int(restarts), "restart"))
	return cut(text, width)
}

func (v *actorsView) heading(c *columns) string {
	restarts, current := "RESTARTS", "IN HAND"
	if c.slim {
		restarts = "RST"
	}
	if c.shared {
		current = "IN HAND OR CAUSE"
	}
	text := strings.Join([]string{
		left("ACTOR", c.name), left("STATE", stateWidth), right("QUEUED", queuedWidth), right("OLDEST", oldestWidth),
		right("MSG/S", rateWidth), right(restarts, c.restarts()), left(current, c.current),
	}, " ")
	if !c.shared {
		text += " " + left("LAST CAUSE", c.cause)
	}
	return strings.TrimRight(text, " ")
}

// line is one row. Only whole cells are coloured, so that widths stay.
func (v *actorsView) line(row *actorRow, c *columns, now time.Time) string {
	a := &row.actor
	oldest := ""
	if a.Queued > 0 {
		oldest = shortDuration(millis(a.OldestMillis))
	}
	state, colour := a.Status, dim
	switch {
	case a.Status == "suspended", a.Status == "stopping":
		colour = yellow
	case a.Status == "restarting":
		colour = red
	case a.Abandoned > 0:
		state, colour = "abandoned", red
	}
	current, cause := currentText(a), causeText(a, now)
	currentColour, causeColour := plain, dim
	if millis(a.CurrentMillis) >= noteworthy {
		currentColour = yellow
	}
	if a.LastFailed != nil && now.Sub(*a.LastFailed) <= rememberFor {
		causeColour = yellow
	}
	if c.shared && current == "" {
		current, currentColour = cause, causeColour
	}
	oldestColour := plain
	if a.Queued > 0 && millis(a.OldestMillis) >= noteworthy {
		oldestColour = yellow
	}
	text := strings.Join([]string{
		left(row.name, c.name), v.paint(colour, left(state, stateWidth)), right(numberText(a.Queued), queuedWidth),
		v.paint(oldestColour, right(oldest, oldestWidth)), right(rateText(a.PerSecond), rateWidth), right(numberText(a.Restarts), c.restarts()),
		v.paint(currentColour, left(current, c.current)),
	}, " ")
	if !c.shared {
		text += " " + v.paint(causeColour, left(cause, c.cause))
	}
	if v.colours {
		return text
	}
	return strings.TrimRight(text, " ")
}

// colour is an escape sequence of ECMA-48, "Select Graphic Rendition".
type colour string

const (
	plain  colour = ""
	bold   colour = "\x1b[1m"
	dim    colour = "\x1b[2m"
	red    colour = "\x1b[31m"
	yellow colour = "\x1b[33m"
	normal        = "\x1b[0m"
)

func (v *actorsView) paint(c colour, text string) string {
	if !v.colours || c == plain {
		return text
	}
	return string(c) + text + normal
}

// left makes a cell of a width with its text at the left.
func left(text string, width int) string {
	text = cut(text, width)
	return text + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
}

// right makes a cell of a width with its text at the right.
func right(text string, width int) string {
	text = cut(text, width)
	return strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text))) + text
}

// cut shortens a text to so many cells, and shows that it did.
func cut(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	if width <= 1 {
		return strings.Repeat("…", max(0, width))
	}
	runes := []rune(text)
	return string(runes[:width-1]) + "…"
}
