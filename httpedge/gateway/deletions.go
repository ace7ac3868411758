package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// Deletion is one delete of several.
type Deletion struct {
	Name, VersionID string
	Conditions      objects.Conditions
}

// Deleted is what became of a Deletion.
type Deleted struct {
	// Done: the node in charge has answered, with Err if it could not. Otherwise
	// nothing was changed, and the key is still to be deleted.
	Done bool
	Err  error
}

// deletionWorkers is how many of the deletes that one node asks for are under way at
// once: as many as of one client's.
const deletionWorkers = 16

// DeleteElsewhere deletes those of several objects that other nodes are in charge of,
// with one question to each node. What is left to this node, and what a node refused
// because of another map, is not Done.
func (g *Gateway) DeleteElsewhere(ctx context.Context, bucket *objects.BucketDoc, list []Deletion) []Deleted {
	done := make([]Deleted, len(list))
	if g.nodes() == nil {
		return done
	}
	type group struct {
		charges []Charge
		indices []int
	}
	groups := make(map[string]*group)
	by := originOf(ctx)
	for i := range list {
		c, err := g.Charge(bucket, list[i].Name)
		if err != nil || c.Ours() {
			continue // who deletes it by itself finds out
		}
		of := groups[c.Node.ID]
		if of == nil {
			of = new(group)
			groups[c.Node.ID] = of
		}
		c.For = askedOf(by, c.Set.Self)
		of.charges, of.indices = append(of.charges, c), append(of.indices, i)
	}
	var asked sync.WaitGroup
	for _, of := range groups {
		asked.Go(func() {
			some := make([]Deletion, len(of.indices))
			for j, i := range of.indices {
				some[j] = list[i]
			}
			results, err := g.Peers.DeleteAll(of.charges, bucket, some)
			var differs *messages.MapDiffers
			for j, i := range of.indices {
				switch {
				case err == nil:
					done[i] = results[j]
				case !errors.As(err, &differs):
					done[i] = Deleted{Done: true, Err: away("gateway.DeleteElsewhere", err)}
				}
			}
		})
	}
	asked.Wait()
	return done
}

// DeleteAllHere deletes those of several objects that this node is in charge of, under
// the epochs given, and returns when the last has been answered. By is for the history.
func (g *Gateway) DeleteAllHere(bucket *objects.BucketDoc, list []Deletion, epochs []smap.Epoch, by objects.Origin) []Deleted {
	done := make([]Deleted, len(list))
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(deletionWorkers, len(list)) {
		workers.Go(func() {
			for i := range next {
				done[i] = g.deleteOne(bucket, &list[i], epochs[i], by)
			}
		})
	}
	for i := range list {
		next <- i
	}
	close(next)
	workers.Wait()
	return done
}

// deleteOne deletes one of several. A panic costs that object's answer, not the
// process: the goroutine is nobody else's.
func (g *Gateway) deleteOne(bucket *objects.BucketDoc, d *Deletion, epoch smap.Epoch, by objects.Origin) (result Deleted) {
	defer func() {
		if p := recover(); p != nil {
			result = Deleted{Done: true, Err: errs.E("gateway.deleteOne", d.Name, errs.Internal, fmt.Errorf("panic: %v", p))}
		}
	}()
	c, err := g.Charge(bucket, d.Name)
	if err != nil || !c.Ours() || c.Epoch != epoch {
		return Deleted{}
	}
	_, err = g.DeleteHere(bucket, d.Name, d.VersionID, d.Conditions, by)
	return Deleted{Done: true, Err: err}
}
