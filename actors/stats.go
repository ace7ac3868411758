package actors

import (
	"fmt"
	"strings"
	"time"

	"github.com/troupe-storage/troupe/messages"
)

// State is what can be seen of an actor from outside.
type State = messages.ActorState

// rateSeconds is how far back a rate looks.
const rateSeconds = 10

// rate counts per second, over the last few. Not safe for concurrent use.
type rate struct {
	seconds [rateSeconds + 1]uint32 // which second a count is of; the second under way has one, too
	counts  [rateSeconds + 1]uint32
}

func (r *rate) add(now time.Duration) {
	second := uint32(now / time.Second)
	i := second % uint32(len(r.counts))
	if r.seconds[i] != second {
		r.seconds[i], r.counts[i] = second, 0
	}
	r.counts[i]++
}

// perSecond returns the mean of the last whole seconds, or of those since born.
func (r *rate) perSecond(born, now time.Duration) float64 {
	second, sum := uint32(now/time.Second), uint32(0)
	for i, s := range r.seconds {
		if s < second && second-s <= rateSeconds {
			sum += r.counts[i]
		}
	}
	whole := min(rateSeconds, second-uint32(born/time.Second))
	return float64(sum) / float64(max(1, whole))
}

// nameOf returns the type of a message without its package.
func nameOf(message any) string {
	name := fmt.Sprintf("%T", message)
	return name[strings.LastIndexAny(name, ".*")+1:]
}
