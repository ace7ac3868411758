package terminal

import (
	"fmt"
	"io"
	"time"

	"github.com/vbauerster/mpb/v8"
)

// refreshEvery is how often bars are drawn: often enough to look alive, seldom
// enough to cost nothing over a slow line.
const refreshEvery = 150 * time.Millisecond

// LineStart begins every line that is drawn, and BareScreen ends the drawing: the terminal echoes
// Ctrl-C where the cursor is, behind the bars, and what is drawn and taken away next
// would begin in that column. mpb itself only moves up.
const (
	LineStart  = "\r"
	BareScreen = "\r\x1b[J"
)

// NewBars begins to draw bars on a terminal.
func NewBars(out io.Writer) *mpb.Progress {
	return mpb.New(mpb.WithOutput(out), mpb.WithRefreshRate(refreshEvery), mpb.WithAutoRefresh())
}

// BarStyle is what every bar looks like.
func BarStyle() mpb.BarFillerBuilder {
	return mpb.BarStyle().Lbound("[").Filler("=").Tip(">").Padding("-").Rbound("]")
}

// FitFigures puts figures behind a bar, the most important first, as many as the
// width has room for beside the bar.
func FitFigures(parts []string, width int) string {
	const leastBar = 12
	text := ""
	for _, part := range parts {
		next := text + " " + part
		if text != "" && len(next)+leastBar > width {
			break
		}
		text = next
	}
	return text
}

// Percent writes how much of something is done.
func Percent(done, size int64) string {
	if size <= 0 {
		return "  0%"
	}
	return fmt.Sprintf("%3d%%", min(done*100/size, 100))
}
