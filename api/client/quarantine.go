package client

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Quarantines asks for what the node refuses because it panicked.
func (c Control) Quarantines(ctx context.Context) ([]api.Quarantine, error) {
	var answer api.Quarantines
	err := c.Get(ctx, api.QuarantinePath, nil, &answer)
	return answer.Quarantines, err
}

// Quarantine asks for one of them with all the evidence; errs.NotFound if there is none
// of that id.
func (c Control) Quarantine(ctx context.Context, id string) (api.Quarantine, error) {
	var answer api.Quarantine
	path, err := quarantinePath(id)
	if err == nil {
		err = c.Get(ctx, path, nil, &answer)
	}
	return answer, err
}

// ReleaseQuarantine has the node try again what it refuses, and returns what that was.
func (c Control) ReleaseQuarantine(ctx context.Context, id string) (api.Quarantine, error) {
	var answer api.Quarantine
	path, err := quarantinePath(id)
	if err == nil {
		err = c.Do(ctx, http.MethodDelete, path, nil, nil, &answer)
	}
	return answer, err
}

// quarantinePath is where one of them is. What is no id leads elsewhere: nothing to the
// list, and "../jobs/x" to a job.
func quarantinePath(id string) (string, error) {
	if id == "" || id == "." || id == ".." || strings.Contains(id, "/") {
		return "", errs.E("client.Quarantine", id, errs.Invalid, fmt.Errorf("%q is no id of a quarantine", id))
	}
	return api.QuarantinePath + "/" + id, nil
}
