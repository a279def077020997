package daemon

import (
	"net/http"
	"testing"
	"time"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// The status is what the command's exit code follows.
func TestShiftRefusals(t *testing.T) {
	a := newAdmin(t)
	err := a.store.Update(t.Context(), func(tx *store.Tx) error {
		for arn, c := range map[string]resource.Cluster{
			"arn:1": {Name: "demo"}, "arn:2": {Name: "off"}, "arn:3": {Name: "two"}, "arn:4": {Name: "two"}, "arn:5": {Name: "ending"},
		} {
			c.Home, c.ARN, c.Spec.ZonalShiftOn = resource.Home{Account: DefaultAccount, Region: "us-west-2"}, arn, c.Name != "off"
			tx.Clusters.Put(arn, c)
		}
		tx.ZonalShifts.Put("arn:5", resource.ZonalShift{Cluster: "arn:5", Zone: "us-west-2a", Expires: time.Now().Add(time.Hour), Cancelled: true})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		query string
		want  int
	}{
		{"cluster=none&zone=us-west-2a&for=1h", http.StatusNotFound},
		{"cluster=demo&zone=us-west-2z&for=1h", http.StatusNotFound},
		{"cluster=two&zone=us-west-2a&for=1h", http.StatusBadRequest},
		{"cluster=demo&zone=us-west-2a&for=1s", http.StatusBadRequest},
		{"cluster=off&zone=us-west-2a&for=1h", http.StatusConflict},
		{"cluster=ending&zone=us-west-2a&for=1h", http.StatusConflict},
		{"cluster=demo&zone=us-west-2a&for=1h", http.StatusOK},
		{"cluster=demo&zone=us-west-2b&for=1h", http.StatusConflict},
	} {
		var answer struct{ Error string }
		a.do(t, http.MethodPut, "/faults/shifts?"+c.query, c.want, &answer)
	}
	var answer struct{ Error string }
	a.do(t, http.MethodDelete, "/faults/shifts?cluster=none", http.StatusNotFound, &answer)
}
