package cli

import (
	"fmt"
	"strconv"
	"time"
)

// humanBytes writes a number of bytes with three or four digits: "1023 B", "1.5 KiB".
func humanBytes(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	value, unit := float64(n), ""
	for _, unit = range []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"} {
		value /= 1024
		if value < 1023.95 {
			break
		}
	}
	if value < 10 {
		return fmt.Sprintf("%.2f %s", value, unit)
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}

// size writes a number of bytes, in full or for people.
func size(n int64, human bool) string {
	if human {
		return humanBytes(n)
	}
	return strconv.FormatInt(n, 10)
}

// count writes a number of things: "1 object", "2 objects".
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}

// instant writes a time as lists show it.
func instant(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

// shortDuration writes a duration as people read it: "0.4s", "12s", "3m05s", "2h10m".
func shortDuration(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 100*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
