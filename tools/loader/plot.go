package loader

import (
	"bytes"
	"errors"
	"fmt"
	"image/color"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A picture is a column of panels on white, so that it can be read on a dark page
// too:
//
//	head       what was asked for, and where
//	course     operations per second, and p50 and p99, over time
//	times      the distribution of times
//	saturation ops/s and p99 over connections, if there were steps

const (
	pictureWidth = 10 * vg.Inch
	panelHeight  = 3.1 * vg.Inch
	headHeight   = 0.95 * vg.Inch
	margin       = 0.2 * vg.Inch
	// sans is the variant of the font, which comes with the plotting library.
	sans = "Sans"
	// longestLine is how many letters of the environment fit one line of the head.
	longestLine = 150
)

// series is all that a picture shows of one contender.
type series struct {
	who   string
	color color.Color
	runs  []namedResult
}

// palette returns colours that people with any kind of colour vision tell apart,
// and that stand out from white. (Okabe, Ito: Color Universal Design)
func palette() []color.Color {
	return []color.Color{
		color.RGBA{0x00, 0x72, 0xb2, 0xff}, // blue
		color.RGBA{0xd5, 0x5e, 0x00, 0xff}, // vermilion
		color.RGBA{0x00, 0x9e, 0x73, 0xff}, // green
		color.RGBA{0xcc, 0x79, 0xa7, 0xff}, // purple
	}
}

// writePlot draws the runs into the file that --plot names.
func (n *session) writePlot(d document) error {
	if n.plot == "" {
		return nil
	}
	content, err := drawRuns(d, n.server.name)
	if err != nil {
		return err
	}
	return os.WriteFile(n.plot, content, 0o644)
}

// drawRuns returns the runs as SVG. The contender called first comes first.
func drawRuns(d document, first string) ([]byte, error) {
	all := seriesOf(d.Runs, first)
	if len(all) == 0 {
		return nil, errors.New("no run ended: there is nothing to draw")
	}
	panels, err := panelsOf(all)
	if err != nil {
		return nil, err
	}
	rows := vg.Length((len(panels) + 1) / 2)
	height := headHeight + rows*panelHeight + margin
	canvas := vgsvg.New(pictureWidth, height)
	page := draw.New(canvas)
	page.FillPolygon(color.White, []vg.Point{{}, {X: page.Max.X}, {X: page.Max.X, Y: page.Max.Y}, {Y: page.Max.Y}})
	drawHead(page, d, all)
	for i, panel := range panels {
		left := vg.Length(i%2)*pictureWidth/2 + margin/2
		top := height - headHeight - vg.Length(i/2)*panelHeight
		width := pictureWidth/2 - margin
		if i == len(panels)-1 && i%2 == 0 {
			width = pictureWidth - margin
		}
		panel.Draw(draw.Canvas{Canvas: page.Canvas, Rectangle: vg.Rectangle{
			Min: vg.Point{X: left, Y: top - panelHeight + margin/2}, Max: vg.Point{X: left + width, Y: top},
		}})
	}
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return nil, err
	}
	// Where the font is not installed, one of the same widths or shape shall do.
	return bytes.ReplaceAll(out.Bytes(), []byte("font-family:Liberation Sans"), []byte("font-family:Liberation Sans,Arimo,Arial,Helvetica,sans-serif")), nil
}

// seriesOf sorts the runs by contender, with the one that is called first at the
// head and the others in the order in which they ran.
func seriesOf(runs []namedResult, first string) []series {
	all := []series{{who: first}}
	for _, run := range runs {
		i := slices.IndexFunc(all, func(s series) bool { return s.who == run.Who })
		if i < 0 {
			i = len(all)
			all = append(all, series{who: run.Who})
		}
		all[i].runs = append(all[i].runs, run)
	}
	all = slices.DeleteFunc(all, func(s series) bool { return len(s.runs) == 0 })
	colors := palette()
	for i := range all {
		all[i].color = colors[i%len(colors)]
	}
	return all
}

// drawHead writes what was asked for, and where, and who has which colour.
func drawHead(page draw.Canvas, d document, all []series) {
	style := plot.New().Title.TextStyle
	style.Font.Variant = sans
	style.XAlign, style.YAlign = draw.XLeft, draw.YTop
	at := vg.Point{X: margin, Y: page.Max.Y - margin/2}
	write := func(size vg.Length, ink color.Color, text string) {
		style.Font.Size, style.Color = size, ink
		page.FillText(style, at, text)
		at.Y -= size * 1.35
	}
	grey := color.Gray{0x55}
	write(14, color.Black, titleOf(all))
	for _, line := range wrap(d.Environment.String()+", "+d.Environment.Time.Format("2006-01-02 15:04 UTC"), longestLine) {
		write(8.5, grey, line)
	}
	at.Y -= 3
	for _, s := range all {
		key := draw.LineStyle{Color: s.color, Width: vg.Points(3)}
		page.StrokeLine2(key, at.X, at.Y-5, at.X+18, at.Y-5)
		style.Font.Size, style.Color = 10.5, color.Black
		page.FillText(style, vg.Point{X: at.X + 23, Y: at.Y}, s.who)
		at.X += 23 + style.Width(s.who) + 20
	}
}

// titleOf says what the load was. There is at least one run.
func titleOf(all []series) string {
	r := all[0].runs[0].Result
	counts := make(map[int]bool)
	pairs := 0
	for _, run := range all[0].runs {
		counts[run.Result.Connections] = true
		pairs = max(pairs, run.Pair)
	}
	title := r.Mix
	if r.Sizes != "" && r.Mix != "LIST" && r.Mix != "DELETE" {
		title += ", " + r.Sizes
	}
	if len(counts) == 1 {
		title += fmt.Sprintf(", %d connections", r.Connections)
	}
	switch {
	case r.RampTo != 0:
		title += fmt.Sprintf(", %s to %s a second", tickNumber(r.Rate), tickNumber(r.RampTo))
	case r.Rate != 0:
		title += fmt.Sprintf(", %s a second", tickNumber(r.Rate))
	}
	if pairs > 1 {
		title += fmt.Sprintf(", %d pairs", pairs)
	}
	if r.TLS != "" {
		title += ", with TLS"
	}
	return title
}

// wrap breaks a text at commas into lines of at most so many letters where it can.
func wrap(text string, most int) []string {
	var lines []string
	line := ""
	for part := range strings.SplitSeq(text, ", ") {
		switch {
		case line == "":
			line = part
		case len(line)+2+len(part) > most:
			lines = append(lines, line+",")
			line = part
		default:
			line += ", " + part
		}
	}
	return append(lines, line)
}

// panelsOf draws the panels that the runs have something for.
func panelsOf(all []series) ([]*plot.Plot, error) {
	var panels []*plot.Plot
	for _, build := range []func([]series) (*plot.Plot, error){
		throughputPanel, latencyPanel, percentilePanel, saturationPanel, saturationLatencyPanel, cpuPanel,
	} {
		panel, err := build(all)
		if err != nil {
			return nil, err
		}
		if panel != nil {
			panels = append(panels, panel)
		}
	}
	return panels, nil
}

// newPanel returns an empty panel.
func newPanel(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.TextStyle.Font.Size = 11
	p.Title.Padding = 6
	grey := color.Gray{0x44}
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Label.TextStyle.Font.Size, axis.Tick.Label.Font.Size = 9, 8.5
		axis.Label.TextStyle.Color, axis.Tick.Label.Color, axis.Color, axis.Tick.Color = grey, grey, grey, grey
		axis.Padding = 0
	}
	for _, style := range []*draw.TextStyle{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label} {
		style.Font.Variant = sans
	}
	p.BackgroundColor = color.White
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = color.Gray{0xdd}, color.Gray{0xea}
	p.Add(grid)
	return p
}

// curve adds points to a panel, as a line, with dots where they are few.
func curve(p *plot.Plot, points plotter.XYs, style draw.LineStyle) error {
	line, err := plotter.NewLine(points)
	if err != nil {
		return err
	}
	line.LineStyle = style
	p.Add(line)
	if len(points) <= 20 {
		dots, err := plotter.NewScatter(points)
		if err != nil {
			return err
		}
		dots.GlyphStyle = draw.GlyphStyle{Color: style.Color, Radius: 2.2, Shape: draw.CircleGlyph{}}
		p.Add(dots)
	}
	return nil
}

// timeLabel names the axis of time, and the steps that follow one another on it.
func timeLabel(all []series) string {
	var steps []string
	for _, run := range all[0].runs {
		if run.Pair == all[0].runs[0].Pair {
			steps = append(steps, strconv.Itoa(run.Result.Connections))
		}
	}
	if len(steps) < 2 {
		return "seconds"
	}
	return "seconds (" + strings.Join(steps, ", ") + " connections, one after the other)"
}

// solid and dashed are the two ways of a colour: many lines of one contender are
// thinner than one.
func solid(s series) draw.LineStyle {
	width := 1.8
	if len(courses(s)) > 1 {
		width = 0.9
	}
	return draw.LineStyle{Color: s.color, Width: vg.Points(width)}
}

func dashed(s series) draw.LineStyle {
	style := solid(s)
	style.Dashes = []vg.Length{5, 3}
	return style
}

// timedPoint is a point of a timeline in the middle of what it covers.
type timedPoint struct {
	seconds float64
	point   Point
}

// courses returns the contender's timelines: one for each pair, in which the steps
// follow one another.
func courses(s series) [][]timedPoint {
	var all [][]timedPoint
	pair := 0
	var offset time.Duration
	for _, run := range s.runs {
		if len(all) == 0 || run.Pair != pair {
			all, pair, offset = append(all, nil), run.Pair, 0
		}
		line := &all[len(all)-1]
		for _, p := range run.Result.Timeline.Points {
			*line = append(*line, timedPoint{(offset + p.At + p.Span/2).Seconds(), p})
		}
		offset += run.Result.Elapsed
	}
	return all
}

// throughputPanel is operations per second over time.
func throughputPanel(all []series) (*plot.Plot, error) {
	p := newPanel("Throughput over time", timeLabel(all), "ops/s")
	p.Y.Min, p.Y.Tick.Marker = 0, plainTicks{}
	for _, s := range all {
		for _, course := range courses(s) {
			var points plotter.XYs
			for _, t := range course {
				points = append(points, plotter.XY{X: t.seconds, Y: t.point.OpsPerSecond()})
			}
			if len(points) == 0 {
				continue
			}
			if err := curve(p, points, solid(s)); err != nil {
				return nil, err
			}
		}
	}
	p.X.Min, p.X.Tick.Marker = 0, plainTicks{}
	p.Y.Max = p.Y.Max*1.08 + 1
	return p, nil
}

// latencyPanel is p50 and p99 over time. Its axis is logarithmic: the one that
// stands still for a second must not hide the others.
func latencyPanel(all []series) (*plot.Plot, error) {
	p := newPanel("Latency over time: p99 solid, p50 dashed", timeLabel(all), "latency")
	for _, s := range all {
		for _, course := range courses(s) {
			var p50, p99 plotter.XYs
			for _, t := range course {
				if t.point.Ops > 0 {
					p50 = append(p50, plotter.XY{X: t.seconds, Y: positive(t.point.P50)})
					p99 = append(p99, plotter.XY{X: t.seconds, Y: positive(t.point.P99)})
				}
			}
			if len(p50) == 0 {
				continue
			}
			if err := curve(p, p50, dashed(s)); err != nil {
				return nil, err
			}
			if err := curve(p, p99, solid(s)); err != nil {
				return nil, err
			}
		}
	}
	p.X.Min, p.X.Tick.Marker = 0, plainTicks{}
	logarithmic(&p.Y)
	return p, nil
}

// percentilePanel is the distribution of times: of several runs, the median at
// every percentile; of several steps, of the largest.
func percentilePanel(all []series) (*plot.Plot, error) {
	title := "Latency by percentile"
	p := newPanel(title, "percent of operations", "latency")
	for _, s := range all {
		most := 0
		for _, run := range s.runs {
			most = max(most, run.Result.Connections)
		}
		at := make(map[float64][]float64)
		steps := false
		for _, run := range s.runs {
			if run.Result.Connections != most {
				steps = true
				continue
			}
			for _, point := range run.Result.Percentiles {
				at[point.Percent] = append(at[point.Percent], positive(point.Time))
			}
		}
		if steps {
			p.Title.Text = fmt.Sprintf("%s, %d connections", title, most)
		}
		var points plotter.XYs
		for percent, times := range at {
			points = append(points, plotter.XY{X: nines(percent), Y: spreadOf(times).Median})
		}
		if len(points) == 0 {
			continue
		}
		slices.SortFunc(points, func(a, b plotter.XY) int {
			if a.X < b.X {
				return -1
			}
			return 1
		})
		line, err := plotter.NewLine(points)
		if err != nil {
			return nil, err
		}
		line.LineStyle = draw.LineStyle{Color: s.color, Width: vg.Points(1.8)}
		p.Add(line)
	}
	p.X.Min = 0
	p.X.Tick.Marker = plot.ConstantTicks(percentTicks())
	logarithmic(&p.Y)
	return p, nil
}

// saturationPanel is throughput over connections.
func saturationPanel(all []series) (*plot.Plot, error) {
	return stepsPanel(all, "Throughput by connections", "ops/s", func(r *Result) (float64, bool) { return r.OpsPerSecond(), true })
}

// saturationLatencyPanel is the tail over connections.
func saturationLatencyPanel(all []series) (*plot.Plot, error) {
	p, err := stepsPanel(all, "p99 by connections", "latency", func(r *Result) (float64, bool) { return positive(r.Latency.P99), r.Ops > 0 })
	if p != nil {
		p.Y.Min = math.Inf(1)
		for _, s := range all {
			for _, run := range s.runs {
				if run.Result.Ops > 0 {
					p.Y.Min = min(p.Y.Min, positive(run.Result.Latency.P99))
				}
			}
		}
		logarithmic(&p.Y)
	}
	return p, err
}

// cpuPanel is what an operation costs the server over connections.
func cpuPanel(all []series) (*plot.Plot, error) {
	return stepsPanel(all, "Server CPU by connections", "µs of CPU per operation", (*Result).ServerMicros)
}

// stepsPanel draws one figure over connections, the median of all pairs; nil if
// there were no steps, or nobody has the figure.
func stepsPanel(all []series, title, unit string, figure func(*Result) (float64, bool)) (*plot.Plot, error) {
	p := newPanel(title, "connections", unit)
	p.Y.Min, p.Y.Tick.Marker = 0, plainTicks{}
	steps := make(map[int]bool)
	drawn := false
	for _, s := range all {
		at := make(map[int][]float64)
		for _, run := range s.runs {
			if value, known := figure(run.Result); known {
				at[run.Result.Connections] = append(at[run.Result.Connections], value)
			}
			steps[run.Result.Connections] = true
		}
		var points plotter.XYs
		for connections, values := range at {
			points = append(points, plotter.XY{X: float64(connections), Y: spreadOf(values).Median})
		}
		if len(points) == 0 {
			continue
		}
		slices.SortFunc(points, func(a, b plotter.XY) int { return int(a.X - b.X) })
		if err := curve(p, points, draw.LineStyle{Color: s.color, Width: vg.Points(1.8)}); err != nil {
			return nil, err
		}
		drawn = true
	}
	if len(steps) < 2 || !drawn {
		return nil, nil
	}
	p.Y.Max = p.Y.Max*1.08 + 1e-9
	var ticks []plot.Tick
	for connections := range steps {
		ticks = append(ticks, plot.Tick{Value: float64(connections), Label: strconv.Itoa(connections)})
	}
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.ConstantTicks(ticks)
	return p, nil
}
