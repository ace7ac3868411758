package actors

// queue is a ring of what waits; it grows, and is as small as can be while empty.
type queue[T any] struct {
	ring []T
	head int
	n    int
}

// keptRoom is the room that a queue keeps once it has been emptied.
const keptRoom = 64

func (q *queue[T]) push(item T) {
	if q.n == len(q.ring) {
		bigger := make([]T, max(4, 2*q.n))
		copied := copy(bigger, q.ring[q.head:])
		copy(bigger[copied:], q.ring[:q.head])
		q.ring, q.head = bigger, 0
	}
	q.ring[(q.head+q.n)&(len(q.ring)-1)] = item // its length is a power of two
	q.n++
}

// pop takes the oldest; there must be one.
func (q *queue[T]) pop() T {
	var none T
	item := q.ring[q.head]
	q.ring[q.head] = none
	q.head = (q.head + 1) & (len(q.ring) - 1)
	if q.n--; q.n == 0 && len(q.ring) > keptRoom {
		q.ring, q.head = nil, 0 // a burst is over
	}
	return item
}

// first returns the oldest; there must be one.
func (q *queue[T]) first() T { return q.ring[q.head] }
