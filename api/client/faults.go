package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/troupe-storage/troupe/api"
)

// Faults asks for the faults at work; all: for those that have ended, too.
func (c Control) Faults(ctx context.Context, all bool) ([]api.Fault, error) {
	var query url.Values
	if all {
		query = url.Values{"all": {"true"}}
	}
	var answer api.Faults
	err := c.Get(ctx, api.FaultsPath, query, &answer)
	return answer.Faults, err
}

// Fault asks for one fault; errs.NotFound if the node does not know it.
func (c Control) Fault(ctx context.Context, id uint64) (api.Fault, error) {
	var answer api.Fault
	err := c.Get(ctx, faultPath(id), nil, &answer)
	return answer, err
}

// InjectFault has a fault begin, or says what it would do. errs.Conflict: redundancy does
// not allow for it.
func (c Control) InjectFault(ctx context.Context, f api.InjectFault) (api.InjectedFault, error) {
	var answer api.InjectedFault
	err := c.Post(ctx, api.FaultsPath, nil, f, &answer)
	return answer, err
}

// ClearFault ends a fault, and returns what it did.
func (c Control) ClearFault(ctx context.Context, id uint64) (api.Fault, error) {
	var answer api.Fault
	err := c.Do(ctx, http.MethodDelete, faultPath(id), nil, nil, &answer)
	return answer, err
}

// ClearFaults ends all faults, and returns what they did.
func (c Control) ClearFaults(ctx context.Context) ([]api.Fault, error) {
	var answer api.Faults
	err := c.Do(ctx, http.MethodDelete, api.FaultsPath, nil, nil, &answer)
	return answer.Faults, err
}

func faultPath(id uint64) string { return api.FaultsPath + "/" + strconv.FormatUint(id, 10) }
