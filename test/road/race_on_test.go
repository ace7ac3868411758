//go:build race

package road

// raceDetector says that the race detector is at work: everything takes longer.
const raceDetector = true
