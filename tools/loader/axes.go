package loader

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"gonum.org/v1/plot"
)

// What stands at the axes of a picture: times, percentiles, and numbers as people
// write them.

// nines puts a percentile on an axis where every further nine takes as much room:
// 90 at 1, 99 at 2, 99.9 at 3.
func nines(percent float64) float64 { return -math.Log10(1 - percent/100) }

func percentTicks() []plot.Tick {
	var ticks []plot.Tick
	for _, percent := range []float64{0, 50, 90, 99, 99.9, 99.99, 99.999, 99.9999} {
		ticks = append(ticks, plot.Tick{Value: nines(percent), Label: strconv.FormatFloat(percent, 'f', -1, 64)})
	}
	return ticks
}

// positive is a time in seconds that a logarithm can be taken of.
func positive(d time.Duration) float64 { return max(d, 100*time.Nanosecond).Seconds() }

// logarithmic makes an axis of times logarithmic. It must have its data.
func logarithmic(axis *plot.Axis) {
	if !(axis.Min > 0) || math.IsInf(axis.Min, 0) || math.IsInf(axis.Max, 0) {
		axis.Min, axis.Max = 1e-4, 1e-2 // nothing was drawn
	}
	axis.Min, axis.Max = axis.Min/1.15, axis.Max*1.15
	axis.Scale, axis.Tick.Marker = plot.LogScale{}, timeTicks{}
}

// timeTicks marks 1, 2 and 5 of every power of ten, as times.
type timeTicks struct{}

// Ticks implements plot.Ticker.
func (timeTicks) Ticks(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	for power := math.Floor(math.Log10(low)); power <= math.Log10(high); power++ {
		for _, step := range []float64{1, 2, 5} {
			value := step * math.Pow(10, power)
			if value < low || value > high {
				continue
			}
			tick := plot.Tick{Value: value}
			if step == 1 || high/low < 1000 {
				tick.Label = tickTime(value)
			}
			ticks = append(ticks, tick)
		}
	}
	return ticks
}

// tickTime writes seconds as people do.
func tickTime(seconds float64) string {
	switch {
	case seconds >= 0.9999:
		return fmt.Sprintf("%.4g s", seconds)
	case seconds >= 0.9999e-3:
		return fmt.Sprintf("%.4g ms", seconds*1e3)
	}
	return fmt.Sprintf("%.4g µs", seconds*1e6)
}

// plainTicks marks multiples of 1, 2 or 5 times a power of ten, about five of them,
// as numbers that people write.
type plainTicks struct{}

// Ticks implements plot.Ticker.
func (plainTicks) Ticks(low, high float64) []plot.Tick {
	if !(high > low) || math.IsInf(high-low, 0) {
		return nil
	}
	power := math.Pow(10, math.Floor(math.Log10((high-low)/5)))
	step := power
	for _, factor := range []float64{2, 5, 10} {
		if (high-low)/step > 6 {
			step = factor * power
		}
	}
	var ticks []plot.Tick
	for n := math.Ceil(low / step); n*step <= high; n++ {
		ticks = append(ticks, plot.Tick{Value: n * step, Label: tickNumber(n * step)})
	}
	return ticks
}

// tickNumber writes a number with commas, and at most three digits behind the point.
func tickNumber(value float64) string {
	whole, fraction, _ := strings.Cut(strconv.FormatFloat(math.Round(value*1000)/1000, 'f', -1, 64), ".")
	for at := len(whole) - 3; at > 0 && whole[at-1] != '-'; at -= 3 {
		whole = whole[:at] + "," + whole[at:]
	}
	if fraction != "" {
		whole += "." + fraction
	}
	return whole
}
