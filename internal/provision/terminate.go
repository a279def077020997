package provision

import (
	"time"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// TerminatedVisible is how long EC2 shows an instance after its end. Its record may
// be deleted after that.
const TerminatedVisible = time.Hour

// Terminate asks an instance to go and returns the state that it was in. Package
// controller/instance ends the machine and calls Terminated. Asking again does nothing.
func Terminate(tx *store.Tx, home resource.Home, id string, now time.Time) (previous string, err error) {
	i, err := LookupInstance(tx, home, id)
	if err != nil {
		return "", err
	}
	previous = i.Current()
	if i.Terminating || previous == resource.InstanceTerminated {
		return previous, nil
	}
	terminate(tx, i, "Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown", now)
	return previous, nil
}

func terminate(tx *store.Tx, i resource.Instance, code, reason string, now time.Time) {
	i.Terminating, i.Asked = true, now
	i.Status.State, i.Status.StateCode, i.Status.StateReason = resource.InstanceShuttingDown, code, reason
	tx.Instances.Put(i.ID, i)
}

// Terminated records that an instance's machine is gone. Interfaces that go with it
// are deleted, the others become available.
func Terminated(tx *store.Tx, id string, now time.Time) {
	for _, eni := range InterfacesOf(tx, id) {
		if eni.Attachment.DeleteOnTermination {
			freeElastic(tx, eni)
			tx.Interfaces.Delete(eni.ID)
			continue
		}
		if eni.Elastic == "" {
			eni.PublicIP = "" // it belonged to the instance
		}
		eni.Attachment, eni.Owner, eni.AutoPublic = nil, "", false
		tx.Interfaces.Put(eni.ID, eni)
	}
	i, ok := tx.Instances.Get(id)
	if !ok || i.Status.State == resource.InstanceTerminated {
		return
	}
	i.Terminating = true
	i.Status.State, i.Status.Ended, i.Status.Waiting = resource.InstanceTerminated, now, ""
	tx.Instances.Put(id, i)
}

// Visible says whether EC2 still shows an instance.
func Visible(i resource.Instance, now time.Time) bool {
	return i.Status.State != resource.InstanceTerminated || now.Sub(i.Status.Ended) < TerminatedVisible
}
