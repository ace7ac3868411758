package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-storage/troupe/api"
)

// actorRow is one line of the tree: an actor, or siblings that share a line.
type actorRow struct {
	name   string // indented
	actor  api.Actor
	shares int // how many actors the line is of
}

const (
	// sharedLeast is how many siblings share a line, at least.
	sharedLeast = 3
	// noteworthy is how long a message waits, or is in hand, before it is worth a
	// line of its own; and how long a failure is remembered so.
	noteworthy  = time.Second
	rememberFor = time.Minute
)

func millis(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// folding says which quiet siblings share a row.
type folding uint8

const (
	foldNone  folding = iota
	foldKinds         // those of one kind
	foldAll           // all that stand together
)

// actorTree makes the rows of a tree.
func actorTree(list []api.Actor, fold folding, now time.Time) []actorRow {
	together := func(a, b *api.Actor) bool {
		return a.Parent == b.Parent && a.Status == b.Status && (fold == foldAll || a.Kind == b.Kind) && quiet(b, now)
	}
	depths := make(map[string]int, len(list)) // in the tree that is shown
	for i := range list {
		if above, shown := depths[list[i].Parent]; shown {
			depths[list[i].Address] = above + 1
		} else {
			depths[list[i].Address] = 0
		}
	}
	var rows []actorRow
	for i := 0; i < len(list); {
		n := 1
		if fold != foldNone && quiet(&list[i], now) {
			for i+n < len(list) && together(&list[i], &list[i+n]) {
				n++
			}
		}
		if n < sharedLeast && fold != foldAll {
			n = 1
		}
		rows = append(rows, rowOf(list[i:i+n], depths[list[i].Address]))
		i += n
	}
	return rows
}

// quiet reports whether there is nothing to say of an actor that is not true of
// siblings in the same state.
func quiet(a *api.Actor, now time.Time) bool {
	return a.Kind != "" && len(a.Children) == 0 && (a.Status == "running" || a.Status == "suspended") && a.Abandoned == 0 &&
		millis(a.OldestMillis) < noteworthy && millis(a.CurrentMillis) < noteworthy &&
		(a.LastFailed == nil || now.Sub(*a.LastFailed) > rememberFor)
}

// rowOf makes one row of one actor or of several quiet siblings: sums, and of what
// is in hand the longest.
func rowOf(actors []api.Actor, depth int) actorRow {
	row := actorRow{actor: actors[0], shares: len(actors)}
	row.name = indented(actors[0].Address, depth)
	if len(actors) == 1 {
		return row
	}
	last := &actors[len(actors)-1]
	row.name += fmt.Sprintf(" … %s (%d)", last.Address[strings.LastIndexByte(last.Address, '/')+1:], len(actors))
	sum := &row.actor
	for i := 1; i < len(actors); i++ {
		a := &actors[i]
		sum.Queued += a.Queued
		sum.PerSecond += a.PerSecond
		sum.Restarts += a.Restarts
		sum.OldestMillis = max(sum.OldestMillis, a.OldestMillis)
		if a.Current != "" && (sum.Current == "" || a.CurrentMillis > sum.CurrentMillis) {
			sum.Current, sum.Subject, sum.CurrentMillis = a.Current, a.Subject, a.CurrentMillis
		}
		if a.LastFailed != nil && (sum.LastFailed == nil || a.LastFailed.After(*sum.LastFailed)) {
			sum.LastCause, sum.LastFailed = a.LastCause, a.LastFailed
		}
	}
	return row
}

// indented is the last part of an address, behind two blanks for each above it; or
// the whole, where nothing above it is shown.
func indented(address string, depth int) string {
	if depth == 0 {
		return printable(address)
	}
	return strings.Repeat("  ", depth) + printable(address[strings.LastIndexByte(address, '/')+1:])
}

// doing says what an actor has in hand.
func doing(a *api.Actor) string {
	if a.Subject == "" {
		return printable(a.Current)
	}
	return printable(a.Current + " " + a.Subject)
}

// currentText says what an actor has in hand, and since when if that is long.
func currentText(a *api.Actor) string {
	if a.Current == "" {
		return ""
	}
	if since := millis(a.CurrentMillis); since >= noteworthy {
		return shortDuration(since) + " " + doing(a)
	}
	return doing(a)
}

// causeText says why an actor failed or was restarted, and how long ago.
func causeText(a *api.Actor, now time.Time) string {
	switch {
	case a.LastCause == "":
		return ""
	case a.LastFailed == nil:
		return printable(a.LastCause)
	}
	return fmt.Sprintf("%s ago: %s", shortDuration(max(0, now.Sub(*a.LastFailed))), printable(a.LastCause))
}

// rateText writes messages per second with as many digits as they are worth.
func rateText(r float64) string {
	switch {
	case r == 0:
		return "0"
	case r < 9.95:
		return strconv.FormatFloat(r, 'f', 1, 64)
	case r < 99_999.5:
		return strconv.FormatInt(int64(math.Round(r)), 10)
	}
	return strconv.FormatInt(int64(math.Round(r/1000)), 10) + "k"
}

// numberText leaves out a zero: most of the tree has nothing to say.
func numberText(n int64) string {
	switch {
	case n == 0:
		return ""
	case n > 99_999:
		return strconv.FormatInt(n/1000, 10) + "k"
	}
	return strconv.FormatInt(n, 10)
}
