package client

import (
	"context"
	"net/url"

	"github.com/troupe-storage/troupe/api"
)

// Actors asks for the actors whose addresses match a pattern: node/edges/*,
// node/mountpaths/d0/**; an empty one is all of them.
func (c Control) Actors(ctx context.Context, pattern string) ([]api.Actor, error) {
	var query url.Values
	if pattern != "" {
		query = url.Values{"pattern": {pattern}}
	}
	var answer api.Actors
	err := c.Get(ctx, api.ActorsPath, query, &answer)
	return answer.Actors, err
}

// Actor asks for one actor; errs.NotFound if there is none of that address.
func (c Control) Actor(ctx context.Context, address string) (api.Actor, error) {
	var answer api.Actor
	err := c.Get(ctx, api.ActorsPath+"/"+address, nil, &answer)
	return answer, err
}

// ControlActor does to an actor what an action says (api.ActorSuspend and so on).
func (c Control) ControlActor(ctx context.Context, address, action string) (api.ActorChanged, error) {
	var answer api.ActorChanged
	err := c.Post(ctx, api.ActorsPath+"/"+address, nil, api.ActorAction{Action: action}, &answer)
	return answer, err
}
