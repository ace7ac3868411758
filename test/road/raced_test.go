package road

// raced is how much of a number of random steps the race detector gets: it is there for
// what runs side by side, and takes five times as long.
func raced(n int) int {
	if raceDetector {
		return (n + 2) / 3
	}
	return n
}
